#include "absence.h"
#include <stdlib.h>

enum { FIRST_CAPACITY = 16, LONGEST = 1 << 16 /* names; a folder with more is asked about */ };

/* Hashes of names, by open addressing; 0: free. Two names with one hash cost a request, no more. */
struct absence {
    uint64_t epoch;
    int64_t until_ms;
    uint32_t valid_ms;
    uint32_t count, capacity;
    uint64_t *hashes;
};

static uint64_t epoch = 1; /* of absence_forget_all */
static uint64_t missed_at; /* tick */

static uint64_t hash_of(const char *name, size_t length) {
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3ull;
    return hash ? hash : 1;
}

static uint64_t *place_of(uint64_t *hashes, uint32_t capacity, uint64_t hash) {
    uint32_t at = (uint32_t)(hash ^ hash >> 32) & (capacity - 1);
    while (hashes[at] && hashes[at] != hash) at = (at + 1) & (capacity - 1);
    return &hashes[at];
}

static void grow(struct absence *absence) {
    uint32_t capacity = absence->capacity ? absence->capacity * 2 : FIRST_CAPACITY;
    uint64_t *hashes = calloc(capacity, sizeof *hashes);
    if (!hashes) abort();
    for (uint32_t i = 0; i < absence->capacity; i++)
        if (absence->hashes[i]) *place_of(hashes, capacity, absence->hashes[i]) = absence->hashes[i];
    free(absence->hashes);
    absence->hashes = hashes;
    absence->capacity = capacity;
}

void absence_free(struct node *folder) {
    if (!folder->absence) return;
    free(folder->absence->hashes);
    free(folder->absence);
    folder->absence = NULL;
}

void absence_begin(struct node *folder, uint32_t valid_ms, uint64_t asked_at) {
    absence_free(folder);
    if (missed_at > asked_at) return; /* it may have been a name in this one */
    if (!(folder->absence = calloc(1, sizeof *folder->absence))) abort();
    folder->absence->epoch = epoch;
    folder->absence->valid_ms = valid_ms;
    folder->absence->until_ms = now_ms() + valid_ms;
    grow(folder->absence);
}

void absence_name(struct node *folder, const char *name, size_t length) {
    struct absence *absence = folder->absence;
    if (!absence) return;
    if (absence->epoch != epoch || absence->count == LONGEST) {
        absence_free(folder);
        return;
    }
    if ((absence->count + 1) * 4 > absence->capacity * 3) grow(absence);
    uint64_t hash = hash_of(name, length), *place = place_of(absence->hashes, absence->capacity, hash);
    if (!*place) absence->count++;
    *place = hash;
}

void absence_renew(struct node *folder, uint32_t valid_ms) {
    struct absence *absence = folder->absence;
    /* Not after it has run out: what came meanwhile may not have been told. */
    if (absence && valid_ms >= absence->valid_ms && absence->until_ms > now_ms())
        absence->until_ms = now_ms() + absence->valid_ms;
}

uint32_t absence_ms(const struct node *folder, const char *name, size_t length) {
    const struct absence *absence = folder->absence;
    if (!absence || absence->epoch != epoch) return 0;
    int64_t left_ms = absence->until_ms - now_ms();
    if (left_ms <= 0 || *place_of(absence->hashes, absence->capacity, hash_of(name, length))) return 0;
    return (uint32_t)left_ms;
}

void absence_missed(void) { missed_at = ++tick; }
void absence_forget_all(void) { epoch++; }
