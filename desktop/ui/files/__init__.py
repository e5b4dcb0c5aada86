"""The files of a container or a volume: a folder beside a preview, downloads and uploads."""
