/* Shared by the parts of the spawner: reading a request, failure, the system calls that libc has no function for.
 *
 * A request is a struct head, which the spawner itself reads before it forks, and a struct start_request or
 * exec_request, which the child reads. spawner_fields.h, generated from vmagent/runtime/plantypes.py, has these structs
 * and their readers. vmagent/runtime/encoding.py writes the request. */
#ifndef SPAWNER_H
#define SPAWNER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "spawner_fields.h"

enum { MAX_FDS = 16, MAX_REQUEST = 160 << 10, MAX_SOURCES = 256, MAX_GROUPS = 65536 };

/* The words of vmagent/runtime/failure.py. */
#define K_OTHER "other"
#define K_MOUNT "mount"
#define K_USER "user"
#define K_NOT_FOUND "not-found"
#define K_PERMISSION "permission"
#define K_ABANDONED "abandoned"

/* linux/mount.h, linux/openat2.h, linux/magic.h */
#define OPEN_TREE_CLONE 1
#define AT_RECURSIVE 0x8000
#define ATTR_RDONLY 0x1
#define ATTR_NOSUID 0x2
#define ATTR_NOEXEC 0x8
#define ATTR_ATIME 0x70
#define RESOLVE_NO_XDEV 0x01
#define RESOLVE_NO_SYMLINKS 0x04
#define RESOLVE_BENEATH 0x08
#define RESOLVE_IN_ROOT 0x10
#define PROC_SUPER 0x9FA0
#define DEVPTS_SUPER 0x1CD1

struct identity {
    uid_t uid;
    gid_t gid;
    size_t count;
    gid_t *groups;
    const char *home;
};

/* strcspn for one character. musl's strcspn first measures the whole rest, which made long lists take quadratic time. */
static inline size_t until(const char *text, char stop) {
    size_t length = 0;
    while (text[length] && text[length] != stop) length++;
    return length;
}

/* request.c */
extern int fds[MAX_FDS]; /* the descriptors of the request; a field names one by its position, -1 for none */
/* The child's pipes: it writes reports to the first and reads `go` from the second. With the runtime's command line it
 * then reads a second byte from `start_fd`, and reports to `started_fd` from then on. */
extern int report_fd, go_fd, start_fd, started_fd;
void request_begin(const char *bytes, size_t length);
void read_number(void *at, size_t size); /* numbers are little endian, as both architectures have them in memory */
int read_flag(void);
const char *read_string(void);
const char *read_bytes(size_t *length);
int read_descriptor(void);
void *read_array(size_t *count, size_t size); /* the number of elements, and room for them */
void *allocate(size_t count, size_t size);    /* never freed: a child reads one request */
_Noreturn void fail(const char *kind, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
void say(const char *line);
int64_t now_ns(void);

/* calls.c: each returns -1 and sets errno */
int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve);
int open_in_root(int root, const char *path, uint64_t flags);
int sys_open_tree(int dir, const char *path, unsigned flags);
int sys_move_mount(int mount, int target);
int sys_mount_setattr(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int recursive);
int new_mount(const char *type, const char *source, const struct option *options, size_t count, uint64_t attributes);
long filesystem_type(int fd);
int is_null(int fd);

/* extras.c */
void set_affinity(const uint32_t *cpus, size_t count);
void set_scheduling(const struct process_extra *extra);
void raise_limits(const struct process *process);
void become_root(void);

/* copyup.c */
int copy_up(int root, const char *destination, int mount);

/* rootfs.c */
int ensure(int root, const char *path, int is_folder);
int open_own_null(int root);
int make_root(const struct start_request *request);
void mask_paths(int root, const struct rootfs *plan);
void make_read_only(int root, const struct rootfs *plan);
void finish_tmpfs(int root, const struct rootfs *plan);
void write_sysctls(const struct rootfs *plan);
void pivot(int root, const struct rootfs *plan);

/* identity.c */
struct identity *look_up(int root, const struct process *process);

/* become.c */
void ask(const char *line);
void take_streams(int root, const struct process *process, const struct streams *streams, int binds_console);
/* `outside`: one more variable of the environment, or NULL. `mounted`: 0 for an exec. */
_Noreturn void become_and_exec(int root, const struct process *process, const struct kernel_facts *kernel,
                               const char *outside, int64_t began, int64_t mounted);

#endif
