"""Bodies of the container operations: Config and HostConfig, field by field.

Owns: the tables.  What the fields mean to Linux is in ``engine/containers/lower.py``; which values make sense, in
``engine/containers/options.py``.
"""

from __future__ import annotations

from corten.api.types.fields import (
    FLAG,
    NUMBER,
    NUMBERS,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXT_MAP,
    TEXT_OR_TEXTS,
    TEXTS,
    Field,
    Table,
)

_text = Field(TEXT, "")
_number = Field(NUMBER, 0)
_flag = Field(FLAG, False)
_texts = Field(TEXTS)
_objects = Field(OBJECTS, [])

CONFIG: Table = {
    "Hostname": _text,
    "Domainname": _text,
    "User": _text,
    "AttachStdin": _flag,
    "AttachStdout": _flag,
    "AttachStderr": _flag,
    "ExposedPorts": Field(OBJECT, omit_empty=True),
    "Tty": _flag,
    "OpenStdin": _flag,
    "StdinOnce": _flag,
    "Env": _texts,
    "Cmd": Field(TEXT_OR_TEXTS),
    "Healthcheck": Field(OBJECT, omit_empty=True),
    "ArgsEscaped": Field(FLAG, omit_empty=True),
    "Image": _text,
    "Volumes": Field(OBJECT),
    "WorkingDir": _text,
    "Entrypoint": Field(TEXT_OR_TEXTS),
    "NetworkDisabled": Field(FLAG, omit_empty=True),
    "MacAddress": Field(TEXT, "", omit_empty=True),
    "OnBuild": _texts,
    "Labels": Field(TEXT_MAP, {}),
    "StopSignal": Field(TEXT, "", omit_empty=True),
    "StopTimeout": Field(NUMBER, omit_empty=False),
    "Shell": Field(TEXTS, omit_empty=True),
}

RESOURCES: Table = {
    "CpuShares": _number,
    "Memory": _number,
    "NanoCpus": _number,
    "CgroupParent": _text,
    "BlkioWeight": _number,
    "BlkioWeightDevice": _objects,
    "BlkioDeviceReadBps": _objects,
    "BlkioDeviceWriteBps": _objects,
    "BlkioDeviceReadIOps": _objects,
    "BlkioDeviceWriteIOps": _objects,
    "CpuPeriod": _number,
    "CpuQuota": _number,
    "CpuRealtimePeriod": _number,
    "CpuRealtimeRuntime": _number,
    "CpusetCpus": _text,
    "CpusetMems": _text,
    "Devices": _objects,
    "DeviceCgroupRules": _texts,
    "DeviceRequests": Field(OBJECTS),
    "MemoryReservation": _number,
    "MemorySwap": _number,
    "MemorySwappiness": Field(NUMBER),
    "OomKillDisable": Field(FLAG),
    "PidsLimit": Field(NUMBER),
    "Ulimits": _objects,
    "CpuCount": _number,
    "CpuPercent": _number,
    "IOMaximumIOps": _number,
    "IOMaximumBandwidth": _number,
}

HOST_CONFIG: Table = {
    "Binds": _texts,
    "ContainerIDFile": _text,
    "LogConfig": Field(OBJECT, {"Type": "", "Config": {}}),
    "NetworkMode": _text,
    "PortBindings": Field(OBJECT, {}),
    "RestartPolicy": Field(OBJECT, {"Name": "no", "MaximumRetryCount": 0}),
    "AutoRemove": _flag,
    "VolumeDriver": _text,
    "VolumesFrom": _texts,
    "ConsoleSize": Field(NUMBERS, [0, 0]),
    "Annotations": Field(TEXT_MAP, omit_empty=True),
    "CapAdd": _texts,
    "CapDrop": _texts,
    "CgroupnsMode": _text,
    "Dns": Field(TEXTS, []),
    "DnsOptions": Field(TEXTS, []),
    "DnsSearch": Field(TEXTS, []),
    "ExtraHosts": _texts,
    "GroupAdd": _texts,
    "IpcMode": _text,
    "Cgroup": _text,
    "Links": _texts,
    "OomScoreAdj": _number,
    "PidMode": _text,
    "Privileged": _flag,
    "PublishAllPorts": _flag,
    "ReadonlyRootfs": _flag,
    "SecurityOpt": _texts,
    "StorageOpt": Field(TEXT_MAP, omit_empty=True),
    "Tmpfs": Field(TEXT_MAP, omit_empty=True),
    "UTSMode": _text,
    "UsernsMode": _text,
    "ShmSize": _number,
    "Sysctls": Field(TEXT_MAP, omit_empty=True),
    "Runtime": _text,
    "Isolation": _text,
    **RESOURCES,
    "Mounts": Field(OBJECTS, omit_empty=True),
    "MaskedPaths": _texts,
    "ReadonlyPaths": _texts,
    "Init": Field(FLAG, omit_empty=True),
}

# The last two are not Docker's: ports of a running container, written as PortBindings are.
UPDATE: Table = {
    **RESOURCES,
    "RestartPolicy": Field(OBJECT),
    "PublishAdd": Field(OBJECT, {}),
    "PublishRemove": Field(OBJECT, {}),
}

EXEC_CONFIG: Table = {
    "User": _text,
    "Privileged": _flag,
    "Tty": _flag,
    "ConsoleSize": Field(NUMBERS),
    "AttachStdin": _flag,
    "AttachStderr": _flag,
    "AttachStdout": _flag,
    "DetachKeys": _text,
    "Env": _texts,
    "WorkingDir": _text,
    "Cmd": Field(TEXT_OR_TEXTS),
}
