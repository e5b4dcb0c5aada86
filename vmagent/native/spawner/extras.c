/* Rarely used features: scheduling, CPU affinity, personality; and an exec in a user namespace. Same steps as in
 * vmagent/runtime/extras.py. */
#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_SHIFT = 13 };

void set_affinity(const uint32_t *cpus, size_t count) {
    if (!count) return;
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        if (cpus[i] > most) most = cpus[i];
    size_t size = CPU_ALLOC_SIZE(most + 1);
    cpu_set_t *set = most < MAX_REQUEST ? allocate(1, size) : NULL;
    for (size_t i = 0; set && i < count; i++) CPU_SET_S(cpus[i], size, set);
    errno = EINVAL;
    if (set == NULL || sched_setaffinity(0, size, set) < 0) fail(K_OTHER, errno, "error setting the CPU affinity");
}

void set_scheduling(const struct process_extra *extra) {
    const struct io_priority *io = extra->io_priority;
    const struct scheduler *s = extra->scheduler;
    if (io && syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io->class_ << IOPRIO_CLASS_SHIFT | io->priority) < 0)
        fail(K_OTHER, errno, "error setting the I/O priority");
    if (s) {
        struct { /* struct sched_attr, its first version */
            uint32_t size, policy;
            uint64_t flags;
            int32_t nice;
            uint32_t priority;
            uint64_t runtime, deadline, period;
        } attributes = {sizeof attributes, s->policy,  s->flags,    (int32_t)s->nice,
                        s->priority,       s->runtime, s->deadline, s->period};
        if (syscall(SYS_sched_setattr, 0, &attributes, 0) < 0) fail(K_OTHER, errno, "error setting the scheduler");
    }
    if (extra->has_personality && personality((unsigned long)extra->personality) < 0)
        fail(K_OTHER, errno, "error setting the personality");
}

/* In the host's user namespace: raise what needs the host's CAP_SYS_RESOURCE, hard limits above this process's own. The
 * limits themselves are set later, because they may prevent the remaining set-up; a failure is reported then. */
void raise_limits(const struct process *process) {
    for (size_t i = 0; i < process->rlimits_count; i++) {
        uint64_t own[2]; /* struct rlimit64: soft, hard */
        uint64_t hard = process->rlimits[i].hard;
        if (syscall(SYS_prlimit64, 0, process->rlimits[i].number, NULL, own) < 0 || hard <= own[1]) continue;
        own[1] = hard;
        syscall(SYS_prlimit64, 0, process->rlimits[i].number, own, NULL);
    }
}

/* Become root of a user namespace that was entered: until then, this process has ids that are not mapped there. */
void become_root(void) {
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        fail(K_OTHER, errno, "error becoming root of the user namespace");
}
