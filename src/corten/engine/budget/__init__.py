"""One disk budget over images, layers, build cache, cache mounts, logs and dead containers; never over volumes.

model.py      what there is, what is wanted, what is planned: values
planner.py    the plan, pure: least recently used first, and the reason for each line
survey.py     what there is, from the services that have it
uses.py       when each image was last used
service.py    the report, the doing, the background
"""
