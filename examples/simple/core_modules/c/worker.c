/* Works off a durable queue and counts in a durable key what it has done.
 *
 * "send TEXT" puts a job into the queue, "work" does the first one, "done" tells how many were done. */
#include <stdlib.h>
#include <string.h>

#include "plexspaces.h"

#define QUEUE "jobs", 4
#define COUNT "done", 4

/* A reply: its length in the upper half, its pointer in the lower. */
static uint64_t reply_with(const void *bytes, uint32_t len) {
    return (uint64_t)len << 32 | (uint32_t)(uintptr_t)bytes;
}

static uint64_t failed(const char *why) {
    ps_fail(why, strlen(why));
    return 0;
}

static uint64_t text(const char *words) {
    return reply_with(words, strlen(words));
}

static uint32_t decimal(int64_t number, char *digits) {
    char turned[20];
    uint32_t len = 0;
    do turned[len++] = '0' + number % 10; while (number /= 10);
    for (uint32_t at = 0; at < len; at++) digits[at] = turned[len - 1 - at];
    return len;
}

static uint64_t work(void) {
    static char answer[1100];
    int32_t received = ps_receive_from_queue(QUEUE, 0);
    if (received < 0) return failed("the queue cannot be read");
    if (received == 0) return text("nothing to do");
    uint32_t *job = (uint32_t *)(uintptr_t)received;
    plexspaces_answer id;
    int64_t count;
    if (ps_keyvalue_increment(COUNT, 1, &count) != PLEXSPACES_DONE) return failed("the count cannot be written");
    /* Only now: whoever breaks before this gets the job again. */
    if (ps_received_id(&id) != PLEXSPACES_DONE || ps_ack(QUEUE, id.bytes, id.len) != PLEXSPACES_DONE)
        return failed("the job cannot be acknowledged");
    uint32_t len = decimal(count, answer);
    uint32_t job_len = *job < 1024 ? *job : 1024;
    answer[len++] = ':';
    answer[len++] = ' ';
    memcpy(answer + len, job + 1, job_len);
    free(id.bytes);
    free(job);
    return reply_with(answer, len + job_len);
}

static uint64_t done(void) {
    static plexspaces_answer count;
    free(count.bytes);
    count.bytes = NULL;
    int32_t found = ps_keyvalue_get(COUNT, &count);
    if (found < 0) return failed("the count cannot be read");
    return found ? reply_with(count.bytes, count.len) : text("0");
}

PLEXSPACES_EXPORT(alloc)
void *alloc(uint32_t size) {
    return malloc(size);
}

PLEXSPACES_EXPORT(handle_request)
uint64_t handle_request(const char *from, uint32_t from_len, const char *type, uint32_t type_len, const char *payload, uint32_t len) {
    (void)from, (void)from_len, (void)type, (void)type_len;
    if (len == 4 && !memcmp(payload, "work", 4)) return work();
    if (len == 4 && !memcmp(payload, "done", 4)) return done();
    if (len >= 5 && !memcmp(payload, "send ", 5)) {
        int32_t status = ps_send_to_queue(QUEUE, "job", 3, payload + 5, len - 5);
        return status == PLEXSPACES_DONE ? text("sent") : failed("the queue takes no more");
    }
    return failed("say: send TEXT, work, or done");
}
