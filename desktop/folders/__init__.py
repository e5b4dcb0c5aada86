"""Shared folders: the server of this machine's files for the VM, whose client is vmagent/native/folders.

`wire` is the protocol; `shares` says which paths are shared; `hostfiles` and `xattrs` are the system calls, `handles`
open files, `operations` what each request does (`nothing` on Windows), with `setting` for what one of them sets;
`changes` notices what the host does itself, by `inotify`; `server` serves sessions over streams.
"""
