/* folders MOUNT_POINT HOST [LIMIT_MS]: the shared folders of the host as a FUSE file system.
 *   MOUNT_POINT  a folder, over which they are mounted
 *   HOST         the Unix socket by which the tunnel reaches the host's file server; or the number of an open descriptor,
 *                a connected socket: then its end ends the program
 *   LIMIT_MS     how long a request waits for a host that is away, before it fails with EIO
 * Ends, with the mount gone, when it is unmounted, or by a signal. */
#define _GNU_SOURCE
#include "link.h"
#include "replay.h"
#include "serve.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LIMIT_MS 120000

static int fail(const char *what) {
    fprintf(stderr, "folders: %s: %s\n", what, strerror(errno));
    return 1;
}

static int mount_fuse(const char *path) {
    char options[128];
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fuse < 0) return -1;
    snprintf(options, sizeof options, "fd=%d,rootmode=40555,user_id=0,group_id=0,allow_other", fuse);
    if (mount("cove", path, "fuse.cove", MS_NOSUID | MS_NODEV, options) < 0) return -1;
    return fuse;
}

static void on_signal(int number) { (void)number; /* it ends poll() */ }

static int run(int fuse, sigset_t *open_signals) {
    bool has_room = true, is_signalled = false;
    while (!is_signalled) {
        struct pollfd polled[3] = {{.fd = has_room ? fuse : -1, .events = POLLIN}, link_poll(), replay_poll()};
        int wait = link_wait_ms();
        struct timespec limit = {wait / 1000, wait % 1000 * 1000000};
        int count = ppoll(polled, 3, wait < 0 ? NULL : &limit, open_signals);
        if (count < 0 && errno != EINTR) return fail("poll");
        if (count < 0) is_signalled = true;
        if (count > 0 && polled[0].revents && !serve_work()) return 0;
        if (!link_work(count > 0 ? polled[1].revents : 0)) return 0;
        if (count > 0 && polled[2].revents) replay_work(polled[2].revents);
        has_room = link_has_room();
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: folders MOUNT_POINT HOST [LIMIT_MS]\n");
        return 2;
    }
    char *rest;
    long fd = strtol(argv[2], &rest, 10);
    bool is_fd = *argv[2] && !*rest;
    int limit_ms = argc > 3 ? atoi(argv[3]) : LIMIT_MS;
    sigset_t signals, open_signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, &open_signals); /* they come within ppoll only */
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); /* memory that is wanted here must not wait for pages that we write back */
    int fuse = mount_fuse(argv[1]);
    if (fuse < 0) return fail(argv[1]);
    if (!replay_set_up(argv[1])) return fail("fork");
    serve_set_up(fuse);
    link_set_up(is_fd ? (int)fd : -1, is_fd ? NULL : argv[2], limit_ms > 0 ? limit_ms : LIMIT_MS);
    int status = run(fuse, &open_signals);
    umount2(argv[1], MNT_DETACH);
    return status;
}
