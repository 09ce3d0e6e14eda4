<?php
echo "Hello from myApp, PHP " . PHP_VERSION . " on " . php_uname('s') . "\n";
