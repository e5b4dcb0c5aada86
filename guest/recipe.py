"""What the VM is made of: packages, the parts of them that are kept, kernel modules. A change rebuilds the image."""

from __future__ import annotations

from typing import NamedTuple

SUITE = "trixie"
PYTHON = "python3.13"

ROOT_PACKAGES = (
    "python3.13-minimal",
    "libpython3.13-stdlib",
    "busybox-static",  # the first process and every small tool
    "nftables",
    "libnftables1",
    "e2fsprogs",  # the data disk
    "erofs-utils",  # packs this image (build.py); nothing in the guest runs it
    "kmod",
    "openssh-server",
    "git",  # builds from repositories, over HTTP, its own protocol and ssh
    "openssh-client",
    "ca-certificates",
    "procps",  # `docker top` is `ps` with the user's own arguments
)


class Architecture(NamedTuple):
    """One processor's words: Debian's, the kernel's, PyPI's, and where its libraries and kernel lie."""

    debian: str
    machine: str
    wheels: str
    triplet: str
    loader: str
    loader_folder: str  # where programs look for the loader, below /usr
    kernel_package: str


ARCHITECTURES = {
    "amd64": Architecture(
        debian="amd64",
        machine="x86_64",
        wheels="x86_64-manylinux_2_28",
        triplet="x86_64-linux-gnu",
        loader="ld-linux-x86-64.so.2",
        loader_folder="lib64",
        # Not the cloud flavour: it has no 9p and fewer drivers for other hypervisors.
        kernel_package="linux-image-amd64",
    ),
    "arm64": Architecture(
        debian="arm64",
        machine="aarch64",
        wheels="aarch64-manylinux_2_28",
        triplet="aarch64-linux-gnu",
        loader="ld-linux-aarch64.so.1",
        loader_folder="lib",
        kernel_package="linux-image-arm64",
    ),
}

# Kept of usr/bin and usr/sbin, by name. Everything else a package brings there is dropped.
PROGRAMS = (
    "python3.13",
    "busybox",
    "nft",
    "kmod",
    "mkfs.erofs",
    "ps",
    "sshd",
    "mke2fs",
    "e2fsck",
    "resize2fs",
    "git",
    "ssh",
)
# sshd is three programs since OpenSSH 10; sftp-server serves file copies over the same connection.
PRIVATE_PROGRAMS = (
    "openssh/sshd-session", "openssh/sshd-auth", "openssh/sftp-server",
    "git-core/git-remote-http", "git-core/git-sh-i18n--envsubst",
)  # fmt: skip
# git's own scripts and other names; what is built into git needs none.
PRIVATE_SCRIPTS = ("git-core/git-submodule", "git-core/git-sh-setup", "git-core/git-sh-i18n")
PRIVATE_LINKS = {"git-core/git-remote-https": "git-remote-http"}
# Opened by name at run time (ctypes, pthread_cancel), so no ELF header asks for them.
OPENED_LIBRARIES = ("libnftables.so.1", "libgcc_s.so.1")
PROGRAM_LINKS = {"modprobe": "kmod", "insmod": "kmod", "lsmod": "kmod", "python3": "python3.13", "mkfs.ext4": "mke2fs"}

STDLIB_DROPPED = (
    "test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "venv", "lib2to3", "pydoc_data", "pydoc.py",
    "_pyrepl", "curses", "dbm", "distutils", "sqlite3", "wsgiref", "xmlrpc", "__phello__",
)  # fmt: skip

# Loaded by the first process before the root is mounted. `crc32c_generic` is a soft dependency that modules.dep does
# not tell of: without it erofs, ext4 and nf_tables fail with ENOENT.
INITRD_MODULES = ("crc32c_generic", "virtio_pci", "virtio_blk", "erofs")

# In the root, loaded by its init (see files/init) or by the kernel on demand; what they depend on comes by itself.
ROOT_MODULES = (
    "crc32c_generic", "virtio_net", "virtio_rng", "virtio_balloon", "virtio_scsi", "ext4", "overlay",
    "erofs", "fuse", "tun", "veth", "bridge", "br_netfilter", "llc", "stp", "macvlan", "ipvlan", "vxlan", "dummy",
    "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_ct", "nft_fib", "nft_fib_inet",
    "nft_fib_ipv4", "nft_fib_ipv6", "nft_reject", "nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6", "nft_limit",
    "nft_log", "nft_hash", "nft_numgen", "nft_compat", "nft_socket", "nft_tproxy", "nf_nat", "nf_conntrack",
    "nf_conntrack_netlink", "nf_log_syslog", "ip_tables", "iptable_nat", "iptable_filter", "ip6_tables", "ip6table_nat",
    "ip6table_filter", "xt_nat", "xt_MASQUERADE", "xt_conntrack", "xt_addrtype", "xt_comment", "xt_tcpudp",
    "xt_multiport", "xt_mark", "xt_state", "ip_set", "ip_vs", "vsock", "vmw_vsock_virtio_transport", "9p",
    "9pnet_virtio", "virtiofs", "sch_htb", "sch_netem", "sch_fq_codel", "cls_u32", "loop", "squashfs",
    "pvpanic-pci", "xt_REDIRECT", "xt_limit", "xt_set", "xt_statistic", "xt_owner", "wireguard",
    "udp_tunnel", "inet_diag", "tcp_diag", "udp_diag", "unix_diag", "netlink_diag", "af_packet", "binfmt_misc",
)  # fmt: skip
# The kernel is built with some of these inside, and another version may drop or rename one that only users' own
# containers ask for. These the VM can't do without: a kernel that has them neither way fails the build.
NEEDED_MODULES = (
    "crc32c_generic", "virtio_blk", "virtio_net", "virtio_balloon", "virtio_pci", "virtio_console",
    "ext4", "overlay", "erofs", "fuse", "tun", "veth", "bridge", "nf_tables", "nft_chain_nat", "nft_masq", "nft_ct",
    "nft_fib_inet", "nft_nat", "nf_conntrack",
)  # fmt: skip

# What the engine's PyPI packages bring and nothing reads.
WHEEL_DROPPED = ("*.dist-info", "bin", "*.pyi", "*.pyx", "*.pxd", "*.c", "*.h", "tests", "__pycache__", "py.typed")

# mkfs.erofs: fast for those who build it themselves; a third smaller, in minutes, for those who download it.
FAST_PACKING = ("-zlz4", "-C65536")
SMALL_PACKING = ("-zzstd,19", "-C131072", "-Efragments,dedupe,all-fragments")
