"""Shared folders: the server of this machine's files for the VM, whose client is vmagent/native/folders.

`wire` is the protocol; `shares` says which paths are shared; `hostfiles` and `xattrs` are the system calls, `handles`
open files, `places` where paths lead to and what the client is told of them; `operations` what each request does
(`nothing` on Windows), with `setting` for what one of them sets, and `quick` those that need no thread of the `crew`;
`changes` notices what the host does itself, by `inotify`; `server` serves sessions over streams.
"""
