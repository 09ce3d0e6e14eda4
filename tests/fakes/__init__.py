"""Small hand-written fakes of the ports that packages declare; none needs root."""
