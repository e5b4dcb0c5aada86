/* The command of the image cove/hello: describes its own container.
 * Facts that a process cannot see from inside come from the runtime: it sets COVE_OUTSIDE to
 * "pid=N mnt_ns=INODE pid_ns=INODE net_ns=INODE ...", the process's pid on the host and the host's namespaces. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

static char buffer[1 << 16];

static const char *slurp(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    size_t got = fread(buffer, 1, sizeof buffer - 1, file);
    fclose(file);
    buffer[got] = 0;
    return buffer;
}

/* The value of `key=` in COVE_OUTSIDE, 0 if it is missing. */
static unsigned long outside(const char *key) {
    const char *words = getenv("COVE_OUTSIDE");
    size_t length = strlen(key);
    while (words && *words) {
        if (!strncmp(words, key, length) && words[length] == '=') return strtoul(words + length + 1, NULL, 10);
        words = strchr(words, ' ');
        if (words) words++;
    }
    return 0;
}

static void say_processes(void) {
    const char *line = slurp("/proc/cmdline");
    const char *where = line && strstr(line, "cove.vm") ? "in the VM that runs me" : "on the computer that runs me";
    unsigned long pid = outside("pid");
    if (pid) printf("I am process %d here, and %lu %s.\n", getpid(), pid, where);
    else printf("I am process %d here.\n", getpid());
}

static void say_kernel(void) {
    struct utsname name;
    uname(&name);
    printf("My kernel is Linux %s, shared with every container beside me; my host name is %s.\n", name.release,
           name.nodename);
}

static const char *number(int count) {
    static const char *words[] = {"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};
    static char digits[12];
    if (count >= 0 && count <= 10) return words[count];
    snprintf(digits, sizeof digits, "%d", count);
    return digits;
}

/* The root's line of mountinfo: an overlay lists its lower layers as lowerdir=a:b or as several lowerdir+=a. */
static void say_layers(void) {
    const char *info = slurp("/proc/self/mountinfo");
    char type[32] = "", point[8], flags[8], *line = (char *)info, *next;
    int layers = 0, writable = 0;
    for (; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        /* proc(5): id, parent, device, root, mount point, options … - type, source, options of the file system */
        if (sscanf(line, "%*d %*d %*s %*s %7s %7[^, ]", point, flags) != 2 || strcmp(point, "/")) continue;
        char *options = strstr(line, " - ");
        if (!options || sscanf(options, " - %31s", type) != 1) continue;
        layers = 0;
        for (char *at = options; (at = strstr(at, "lowerdir")); ) {
            char *end = at + strcspn(at, ",\n");
            layers++;
            for (; at < end; at++) {
                if (*at == ':' && at[1] != ':' && at[-1] != ':' && at[-1] != '\\') layers++;
                /* The engine's own layer (mount points for hosts and resolv.conf) is not a layer of the image. */
                if (!strncmp(at, "/init-layer", 11) && at + 11 <= end) layers--;
            }
        }
        writable = strstr(options, "upperdir=") != NULL && strcmp(flags, "ro") != 0;
    }
    if (strcmp(type, "overlay"))
        printf("My files come from one %s file system.\n", *type ? type : "unknown");
    else
        printf("My files are %s read-only layer%s%s.\n", number(layers), layers == 1 ? "" : "s",
               writable ? " and one I may write to" : "");
}

static void say_walls(void) {
    static const char *names[] = {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"};
    const char *own[8], *shared[8];
    int owned = 0, shares = 0;
    for (int i = 0; i < 8; i++) {
        char path[32], link[64], key[16];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        ssize_t got = readlink(path, link, sizeof link - 1);
        if (got < 0) continue;
        link[got] = 0;
        snprintf(key, sizeof key, "%s_ns", names[i]);
        unsigned long around = outside(key), mine = strtoul(strchr(link, '[') + 1, NULL, 10);
        if (!around) continue;
        if (mine != around) own[owned++] = names[i];
        else shared[shares++] = names[i];
    }
    if (!owned && !shares) return;
    printf("My walls: ");
    for (int i = 0; i < owned; i++) printf("%s%s", i == 0 ? "" : i == owned - 1 ? " and " : ", ", own[i]);
    printf(owned == 0 ? "none" : owned == 1 ? " is my own" : " are my own");
    if (shares) printf("; ");
    for (int i = 0; i < shares; i++) printf("%s%s", i == 0 ? "" : i == shares - 1 ? " and " : ", ", shared[i]);
    printf(shares == 0 ? ".\n" : shares == 1 ? " is the one around me.\n" : " are the ones around me.\n");
}

/* The first of two files (cgroup v2, cgroup v1) as a number; -1: no limit. Returns 0 where neither is readable. */
static int limit(const char *v2, const char *v1, long long *value) {
    const char *text = slurp(v2);
    if (!text) text = slurp(v1);
    if (!text) return 0;
    *value = strncmp(text, "max", 3) ? strtoll(text, NULL, 10) : -1;
    return 1;
}

static double cpu_limit(void) {
    long long quota = -1, period = 100000;
    const char *text = slurp("/sys/fs/cgroup/cpu.max");
    if (text) {
        if (sscanf(text, "%lld %lld", &quota, &period) != 2) return -1;
    } else {
        text = slurp("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
        if (text) quota = strtoll(text, NULL, 10);
        text = slurp("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
        if (text) period = strtoll(text, NULL, 10);
    }
    return quota > 0 && period > 0 ? (double)quota / (double)period : -1;
}

static void say_limits(void) {
    long long memory, pids;
    cpu_set_t set;
    int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    double share = cpu_limit();
    printf("My limits: ");
    if (!limit("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes", &memory) || memory < 0 ||
        memory > 1LL << 50)
        printf("no memory limit, ");
    else
        printf("%lld MiB of memory, ", memory >> 20);
    if (share > 0) printf("%.2g of %d CPUs, ", share, cpus);
    else if (cpus == 1) printf("the one CPU, ");
    else printf("all %d CPUs, ", cpus);
    if (!limit("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max", &pids) || pids < 0)
        printf("any number of processes.\n");
    else
        printf("%lld processes.\n", pids);
}

static void say_address(void) {
    struct ifreq request = {0};
    strcpy(request.ifr_name, "eth0");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && ioctl(fd, SIOCGIFADDR, &request) == 0) {
        char text[INET_ADDRSTRLEN];
        struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
        printf("My address: %s on eth0.\n", inet_ntop(AF_INET, &address->sin_addr, text, sizeof text));
    } else {
        printf("My address: none, I have no network.\n");
    }
    if (fd >= 0) close(fd);
}

int main(void) {
    printf("Hello from a container.\n\n");
    say_processes();
    say_kernel();
    say_layers();
    say_walls();
    say_limits();
    say_address();
    printf("\nTry:  cove ps -a\n"
           "      cove images\n"
           "      cove run --rm -it debian:trixie bash\n");
    return 0;
}
