"""Objects within bodies: endpoints of networks, mounts.

Owns: the kinds of their fields.  They are kept as they came; what they mean is the engine's affair.
"""

from __future__ import annotations

from corten.api.types.fields import FLAG, NUMBER, OBJECT, TEXT, TEXT_MAP, TEXTS, Field

ENDPOINT = {
    "IPAMConfig": Field(OBJECT),
    "Links": Field(TEXTS),
    "Aliases": Field(TEXTS),
    "MacAddress": Field(TEXT),
    "DriverOpts": Field(TEXT_MAP),
    "GwPriority": Field(NUMBER),
}
ENDPOINT_IPAM = {"IPv4Address": Field(TEXT), "IPv6Address": Field(TEXT), "LinkLocalIPs": Field(TEXTS)}
MOUNT = {
    "Type": Field(TEXT),
    "Source": Field(TEXT),
    "Target": Field(TEXT),
    "ReadOnly": Field(FLAG),
    "BindOptions": Field(OBJECT),
    "VolumeOptions": Field(OBJECT),
    "TmpfsOptions": Field(OBJECT),
}
VOLUME_OPTIONS = {
    "NoCopy": Field(FLAG),
    "Labels": Field(TEXT_MAP),
    "DriverConfig": Field(OBJECT),
    "Subpath": Field(TEXT),
}
VOLUME_DRIVER = {"Name": Field(TEXT), "Options": Field(TEXT_MAP)}
TMPFS_OPTIONS = {"SizeBytes": Field(NUMBER), "Mode": Field(NUMBER)}
