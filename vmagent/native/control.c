/* The VM's end of the control port: serves the requests of the host agent.
 *   control PORT                   (descriptor of the port, a virtio-serial port)
 * Each request is one line, `NUMBER VERB [WORD...]`, and has one reply, `NUMBER ok [TEXT]` or `NUMBER error MESSAGE`, as
 * soon as it is done: replies may come in another order than requests. Binary values are hexadecimal. A request that may
 * take time is served by a child, so that the others never wait. Lines without a number at their head are reports of
 * progress, `mark WORD UPTIME_S [DETAIL]`.
 *   ping                           the uptime in seconds
 *   time NS TOLERANCE_NS           set the clock (ns since 1970) if it is wrong by more; reply: ns by which it was ahead
 *   entropy HEX                    credit random bytes to the kernel, and have it use them at once
 *   attach format|keep             mount the data disk; an empty one is formatted, or refused; it is grown and repaired
 *                                  where needed; reply: ready, formatted, grown or repaired
 *   keys HOST_KEY AUTHORIZED_KEYS  the files' contents in hexadecimal; sshd is started with them
 *   engine METHOD PATH             one HTTP request without a body to the engine; reply: the first 12 KiB of its response
 *                                  in hexadecimal
 *   worked                         the seconds that the processors have worked since the boot
 *   reclaim                        free what memory holds of files, and gather free memory, which goes back to the host
 *   sync                           write everything to the disk
 *   stop                           end containers and engine, unmount, power off */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DATA_ROOT "/var/lib/cove"
#define SERIAL "cove-data"
#define ENGINE_SOCKET "/run/cove/cove.sock"
#define ENGINE_PID "/run/vm/engine.pid"
#define STOPPING "/run/vm/stopping"
#define HOST_KEY "/run/ssh/host_key"
#define AUTHORIZED_KEYS "/run/ssh/authorized_keys"
#define SSHD_PID "/run/ssh/sshd.pid"

enum { MAX_LINE = 64 * 1024, MAX_RESPONSE = 12 * 1024, DISK_WAIT_MS = 60000, ENGINE_WAIT_MS = 40000 };

static int port;
static uint64_t number; /* of the request that is served */

static void pause_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static double uptime(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Write all of `data`; dropped when no host is connected, because none will want it later. */
static void send_all(const char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = write(port, data, length);
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
            continue;
        }
        if (sent < 0 && errno == EINTR) continue;
        if (sent == 0 || errno != EAGAIN) return;
        struct pollfd ready = {port, POLLOUT, 0};
        if (poll(&ready, 1, 1000) > 0 && ready.revents & (POLLHUP | POLLERR)) return;
    }
}

/* One line to the host. The kernel keeps a write of up to 32 KiB in one piece between those of other processes. */
static void say(const char *format, ...) {
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
    for (int i = 0; i < length; i++)
        if (line[i] == '\n') line[i] = ' ';
    line[length] = '\n';
    send_all(line, (size_t)length + 1);
}

static void mark(const char *word) { say("mark %s %.2f", word, uptime()); }

static void bad(const char *what) { say("%" PRIu64 " error %s: %s", number, what, strerror(errno)); }

/* The bytes of a hexadecimal word, or -1. */
static ssize_t from_hex(const char *word, unsigned char *into, size_t room) {
    size_t length = strlen(word);
    if (length % 2 || length / 2 > room) return -1;
    for (size_t i = 0; i < length / 2; i++)
        if (sscanf(word + 2 * i, "%2hhx", &into[i]) != 1) return -1;
    return (ssize_t)(length / 2);
}

/* The exit status of a program, -1 where it does not run. It gets neither our port nor our streams, but `output`. */
static int run_to(const char *output, char *const *argv) {
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR), shown = open(output, O_WRONLY | O_NOCTTY);
        for (int fd = 0; fd < 3; fd++) dup2(fd > 0 && shown >= 0 ? shown : nowhere, fd);
        execv(argv[0], argv);
        _exit(127);
    }
    int word;
    if (child < 0 || waitpid(child, &word, 0) < 0) return -1;
    return WIFEXITED(word) ? WEXITSTATUS(word) : -1;
}

static int run(char *const *argv) { return run_to("/dev/null", argv); }

/* What it says is in the console's log. */
static int run_shown(char *const *argv) { return run_to("/dev/console", argv); }

/* The first bytes of a small file as text, its final newline cut off; NULL if it can't be read. */
static char *text_of(const char *path, char *into, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    ssize_t length = read(fd, into, room - 1);
    close(fd);
    if (length < 0) return NULL;
    into[length] = '\0';
    into[strcspn(into, "\n")] = '\0';
    return into;
}

static int is_mounted(void) {
    struct stat root, parent;
    return stat(DATA_ROOT, &root) == 0 && stat(DATA_ROOT "/..", &parent) == 0 && root.st_dev != parent.st_dev;
}

/* Clock and randomness ------------------------------------------------------------------------------------------ */

static void serve_time(char **words) {
    struct timespec now;
    int64_t wanted = strtoll(words[0], NULL, 10), tolerance = strtoll(words[1], NULL, 10);
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ahead = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - wanted;
    if (ahead > tolerance || ahead < -tolerance) {
        struct timespec right = {wanted / 1000000000, wanted % 1000000000};
        if (clock_settime(CLOCK_REALTIME, &right) < 0) return bad("the clock can't be set");
    }
    say("%" PRIu64 " ok %" PRId64, number, ahead);
}

/* random(4). A machine that was restored from a saved state would else repeat what its twin drew. */
static void serve_entropy(char **words) {
    union {
        struct rand_pool_info info;
        char room[sizeof(struct rand_pool_info) + 256];
    } pool;
    ssize_t length = from_hex(words[0], (unsigned char *)pool.info.buf, 256);
    if (length <= 0) {
        errno = EINVAL;
        return bad("entropy");
    }
    pool.info.buf_size = (int)length;
    pool.info.entropy_count = (int)length * 8;
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    int failed = fd < 0 || ioctl(fd, RNDADDENTROPY, &pool.info) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0;
    if (failed)
        bad("the kernel takes no entropy");
    else
        say("%" PRIu64 " ok", number);
    if (fd >= 0) close(fd);
}

static void serve_ping(char **words) {
    (void)words;
    say("%" PRIu64 " ok %.2f", number, uptime());
}

/* The data disk ------------------------------------------------------------------------------------------------- */

/* The name of the disk with our serial number, such as vdb; NULL if there is none yet. */
static char *find_disk(char *into, size_t room) {
    char path[320], serial[64];
    struct dirent *entry;
    DIR *folder = opendir("/sys/block");
    int found = 0;
    while (!found && folder && (entry = readdir(folder))) {
        if (strncmp(entry->d_name, "vd", 2) != 0) continue;
        snprintf(path, sizeof path, "/sys/block/%s/serial", entry->d_name);
        found = text_of(path, serial, sizeof serial) && strcmp(serial, SERIAL) == 0;
        if (found) snprintf(into, room, "%s", entry->d_name);
    }
    if (folder) closedir(folder);
    return found ? into : NULL;
}

static int is_empty(int disk) {
    static char block[1024 * 1024], zeros[1024 * 1024];
    return pread(disk, block, sizeof block, 0) == (ssize_t)sizeof block && memcmp(block, zeros, sizeof block) == 0;
}

/* The bytes of the ext4 file system on `disk`, 0 if there is none. Documentation/filesystems/ext4/super.rst */
static uint64_t file_system_bytes(int disk) {
    unsigned char super[1024];
    uint32_t low, high, shift, incompatible;
    if (pread(disk, super, sizeof super, 1024) != (ssize_t)sizeof super) return 0;
    if (super[0x38] != 0x53 || super[0x39] != 0xef) return 0; /* s_magic */
    memcpy(&low, super + 0x4, 4);                             /* s_blocks_count_lo */
    memcpy(&shift, super + 0x18, 4);                          /* s_log_block_size */
    memcpy(&incompatible, super + 0x60, 4);                   /* s_feature_incompat */
    memcpy(&high, super + 0x150, 4);                          /* s_blocks_count_hi, with the feature 64bit alone */
    if (!(incompatible & 0x80)) high = 0;
    return ((uint64_t)high << 32 | low) << (10 + (shift & 15));
}

/* Check and repair: first what is safe, then everything. Whether the file system is whole now. e2fsck(8) */
static int repair(char *device) {
    mark("check");
    int status = run_shown((char *[]){"/usr/sbin/e2fsck", "-f", "-p", device, NULL});
    if (status < 0 || status > 3) {
        mark("repair");
        status = run_shown((char *[]){"/usr/sbin/e2fsck", "-f", "-y", device, NULL});
    }
    return status >= 0 && status <= 3;
}

/* commit=1: the journal, and with it the size of files that grow, is a second behind at most. A file system that has lost
   its journal, as in a repair, takes no such option. */
static int mount_data(const char *device) {
    if (mount(device, DATA_ROOT, "ext4", MS_NOATIME, "discard,commit=1") == 0) return 0;
    return errno == EINVAL ? mount(device, DATA_ROOT, "ext4", MS_NOATIME, "discard") : -1;
}

static void serve_attach(char **words) {
    int may_format = strcmp(words[0], "format") == 0;
    char name[64], device[80], path[96], sectors[32];
    const char *did = "ready";
    if (is_mounted()) return say("%" PRIu64 " ok ready", number);
    for (int waited = 0; !find_disk(name, sizeof name); waited += 5) {
        if (waited >= DISK_WAIT_MS) return say("%" PRIu64 " error the data disk is missing", number);
        pause_ms(5);
    }
    snprintf(device, sizeof device, "/dev/%s", name);
    snprintf(path, sizeof path, "/sys/block/%s/size", name);
    int disk = open(device, O_RDONLY | O_CLOEXEC);
    if (disk < 0 || !text_of(path, sectors, sizeof sectors)) return bad("the data disk can't be read");
    uint64_t bytes = file_system_bytes(disk);
    int empty = bytes == 0 && is_empty(disk);
    close(disk);
    if (bytes == 0) {
        /* Only an empty disk may be formatted: anything else is somebody's data with a damaged superblock. */
        if (!empty)
            return say("%" PRIu64 " error the data disk holds something that is not a file system of ours", number);
        if (!may_format) return say("%" PRIu64 " error the data disk is empty, and it held data before", number);
        mark("format");
        char *options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
        if (run((char *[]){"/usr/sbin/mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", SERIAL, "-E", options, device, NULL}))
            return say("%" PRIu64 " error the data disk can't be formatted", number);
        did = "formatted";
    } else if (strtoull(sectors, NULL, 10) * 512 > bytes + (4 << 20)) {
        if (repair(device) && run((char *[]){"/usr/sbin/resize2fs", device, NULL}) == 0) did = "grown";
    }
    if (mount_data(device) < 0) {
        if (!repair(device) || mount_data(device) < 0) return bad("the data disk can't be mounted");
        did = "repaired";
    }
    say("%" PRIu64 " ok %s", number, did);
}

static void serve_sync(char **words) {
    (void)words;
    sync();
    say("%" PRIu64 " ok", number);
}

/* sshd ---------------------------------------------------------------------------------------------------------- */

/* 1: the file had another content, which is replaced; 0: it has that content; -1: it can't be written. */
static int replace(const char *path, const unsigned char *data, size_t length) {
    unsigned char old[MAX_LINE];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    int same = read(fd, old, sizeof old) == (ssize_t)length && memcmp(old, data, length) == 0;
    int failed = !same && (ftruncate(fd, 0) < 0 || pwrite(fd, data, length, 0) != (ssize_t)length);
    close(fd);
    return failed ? -1 : !same;
}

static pid_t pid_in(const char *path) {
    char text[32];
    return text_of(path, text, sizeof text) ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* The process of sshd; 0: it does not run. One that was killed has left its file, and its number may be another's. */
static pid_t running_sshd(void) {
    char path[32], name[8] = "";
    pid_t pid = pid_in(SSHD_PID);
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t got = read(fd, name, sizeof name - 1);
    close(fd);
    return got > 0 && strcmp(name, "sshd\n") == 0 ? pid : 0;
}

static void serve_keys(char **words) {
    static unsigned char host[MAX_LINE], authorized[MAX_LINE];
    ssize_t first = from_hex(words[0], host, sizeof host), second = from_hex(words[1], authorized, sizeof authorized);
    errno = EINVAL;
    if (first < 0 || second < 0) return bad("keys");
    int changed = replace(HOST_KEY, host, (size_t)first), failed = replace(AUTHORIZED_KEYS, authorized, (size_t)second);
    if (changed < 0 || failed < 0) return bad("the keys can't be written");
    pid_t sshd = running_sshd();
    if (changed && sshd > 0) kill(sshd, SIGTERM); /* it has read its host key at its start */
    if (changed || sshd <= 0) {
        unlink(SSHD_PID); /* that of one that was killed would be taken for the new one's */
        if (run((char *[]){"/usr/sbin/sshd", "-f", "/etc/ssh/sshd_config", NULL}))
            return say("%" PRIu64 " error sshd does not start", number);
        while (access(SSHD_PID, F_OK) < 0) pause_ms(5); /* it goes to the background first, and then listens */
    }
    say("%" PRIu64 " ok", number);
}

/* The engine ---------------------------------------------------------------------------------------------------- */

static int connect_engine(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = ENGINE_SOCKET};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The processors' time in ticks that was spent on work. proc(5), /proc/stat: user, nice, system. */
static unsigned long long worked(void) {
    char text[256];
    unsigned long long user = 0, nice = 0, system = 0;
    if (text_of("/proc/stat", text, sizeof text)) sscanf(text, "cpu %llu %llu %llu", &user, &nice, &system);
    return user + nice + system;
}

/* Wait for the engine's next bytes, or its end. Emulated on a busy machine, an engine may load for minutes: while the
 * processors work, the host gets a mark every second, so that it can tell that from an engine that hangs. */
static ssize_t read_patiently(int fd, char *into, size_t room) {
    struct pollfd ready = {fd, POLLIN, 0};
    unsigned long long before = worked(), now;
    while (poll(&ready, 1, 1000) == 0) {
        if ((now = worked()) - before < (unsigned long long)sysconf(_SC_CLK_TCK) / 5) continue;
        before = now;
        mark("working");
    }
    return read(fd, into, room);
}

static void serve_worked(char **words) {
    (void)words;
    say("%" PRIu64 " ok %.2f", number, (double)worked() / (double)sysconf(_SC_CLK_TCK));
}

/* Documentation/admin-guide/sysctl/vm.rst */
static void serve_reclaim(char **words) {
    static const char *const files[] = {"/proc/sys/vm/drop_caches", "/proc/sys/vm/compact_memory"};
    (void)words;
    sync(); /* only what is written can be dropped */
    for (int i = 0; i < 2; i++) {
        int fd = open(files[i], O_WRONLY | O_CLOEXEC), failed = fd < 0 || write(fd, i ? "1" : "3", 1) != 1;
        if (failed) bad(files[i]);
        if (fd >= 0) close(fd);
        if (failed) return;
    }
    say("%" PRIu64 " ok", number);
}

/* Waits until the engine replies, however long that takes: the host limits the wait. */
static void serve_engine(char **words) {
    static char response[MAX_RESPONSE], line[2 * MAX_RESPONSE + 64];
    char request[4096];
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: cove\r\nContent-Length: 0\r\n"
                          "Connection: close\r\n\r\n", words[0], words[1]);
    if (length < 0 || (size_t)length >= sizeof request) return say("%" PRIu64 " error the request is too long", number);
    size_t got = 0;
    while (got == 0) { /* an engine that ended during the request is started again */
        int fd = connect_engine();
        if (fd < 0) {
            pause_ms(10); /* no event announces the socket */
            continue;
        }
        ssize_t part = write(fd, request, (size_t)length) == length ? 1 : -1;
        while (part > 0 && got < sizeof response)
            if ((part = read_patiently(fd, response + got, sizeof response - got)) > 0) got += (size_t)part;
        close(fd);
        if (got == 0) pause_ms(10);
    }
    size_t at = (size_t)snprintf(line, 64, "%" PRIu64 " ok ", number);
    for (size_t i = 0; i < got; i++, at += 2) {
        line[at] = "0123456789abcdef"[(unsigned char)response[i] >> 4];
        line[at + 1] = "0123456789abcdef"[response[i] & 15];
    }
    line[at++] = '\n';
    send_all(line, at);
}

/* The end ------------------------------------------------------------------------------------------------------- */

/* SIGTERM to the engine, and wait for its end. */
static void end_engine(void) {
    pid_t engine = pid_in(ENGINE_PID);
    if (engine <= 0) return;
    int handle = (int)syscall(SYS_pidfd_open, engine, 0);
    if (handle < 0) return;
    syscall(SYS_pidfd_send_signal, handle, SIGTERM, NULL, 0);
    struct pollfd ended = {handle, POLLIN, 0};
    poll(&ended, 1, ENGINE_WAIT_MS);
    close(handle);
}

static void serve_stop(char **words) {
    (void)words;
    close(open(STOPPING, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); /* init does not start the engine again */
    say("%" PRIu64 " ok", number);
    mark("stopping");
    end_engine();
    mark("unmounting");
    for (int tries = 0; tries < 100 && is_mounted(); tries++)
        if (umount2(DATA_ROOT, 0) < 0) pause_ms(20);
    if (is_mounted()) {
        sync();
        mount(NULL, DATA_ROOT, NULL, MS_REMOUNT | MS_RDONLY, NULL);
    }
    sync();
    mark("off");
    reboot(RB_POWER_OFF);
}

/* Requests ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int words;
    int in_child;
    void (*serve)(char **words);
} verbs[] = {
    {"ping", 0, 0, serve_ping},     {"time", 2, 0, serve_time},       {"entropy", 1, 0, serve_entropy},
    {"attach", 1, 1, serve_attach}, {"keys", 2, 1, serve_keys},       {"engine", 2, 1, serve_engine},
    {"sync", 0, 1, serve_sync},     {"worked", 0, 0, serve_worked},   {"reclaim", 0, 1, serve_reclaim},
    {"stop", 0, 1, serve_stop},
};

static void serve(char *line) {
    char *words[5] = {NULL}, *rest, *end;
    int count = 0;
    for (char *word = strtok_r(line, " ", &rest); word && count < 5; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    if (count < 2) return; /* the rest of a line that a host agent sent as it ended */
    number = strtoull(words[0], &end, 10);
    if (*end) return;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, words[1]) != 0 || verbs[i].words != count - 2) continue;
        if (!verbs[i].in_child) return verbs[i].serve(words + 2);
        pid_t child = fork();
        if (child < 0) return bad("fork");
        if (child > 0) return;
        signal(SIGCHLD, SIG_DFL); /* it waits for children of its own */
        setsid();
        verbs[i].serve(words + 2);
        _exit(0);
    }
    say("%" PRIu64 " error no such request: %s with %d words", number, words[1], count - 2);
}

int main(int argc, char **argv) {
    static char buffer[MAX_LINE];
    size_t held = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: control PORT\n");
        return 1;
    }
    port = atoi(argv[1]);
    fcntl(port, F_SETFL, fcntl(port, F_GETFL) | O_NONBLOCK);
    signal(SIGCHLD, SIG_IGN); /* the kernel reaps */
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        struct pollfd ready = {port, POLLIN, 0};
        if (poll(&ready, 1, -1) < 0) continue;
        ssize_t got = read(port, buffer + held, sizeof buffer - held);
        if (got <= 0) { /* no host is connected: the port is always ready then */
            held = 0;
            if (got < 0 && (errno == EAGAIN || errno == EINTR) && !(ready.revents & POLLHUP)) continue;
            pause_ms(50);
            continue;
        }
        held += (size_t)got;
        char *line = buffer, *newline;
        while ((newline = memchr(line, '\n', held - (size_t)(line - buffer)))) {
            *newline = '\0';
            serve(line);
            line = newline + 1;
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
        if (held == sizeof buffer) held = 0; /* longer than any request */
    }
}
