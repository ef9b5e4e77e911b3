// A greeter in C as a core module: counts whom it has greeted; docs/core-abi.md says how bytes pass.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("plexspaces"), import_name(name)))

IMPORT("fail") void node_fail(const char *text, int len);
IMPORT("tell") int node_tell(const char *to, int to_len, const char *type, int type_len, const char *payload, int len);

static unsigned long long greeted;
static char *reply; // the last one: the node has copied it before it calls again

static uint64_t answer(int len) { return (uint64_t)len << 32 | (uint32_t)reply; }

static int is(const char *text, int len, const char *other) {
    return len == (int)strlen(other) && !memcmp(text, other, len);
}

static uint64_t fail(const char *why, const char *what, int len) {
    free(reply);
    len = asprintf(&reply, "%s: %.*s", why, len, what);
    node_fail(reply, len);
    return 0;
}

EXPORT("init") int init(const char *state, int len) {
    if (len == 0) return 0;
    char digits[24] = {0}, *end;
    if (len >= (int)sizeof digits) return 1;
    memcpy(digits, state, len);
    greeted = strtoull(digits, &end, 10);
    return *end != 0;
}

EXPORT("snapshot_state") uint64_t snapshot_state(void) {
    free(reply);
    return answer(asprintf(&reply, "%llu", greeted));
}

EXPORT("handle_request")
uint64_t handle_request(const char *from, int from_len, const char *type, int type_len, const char *payload, int len) {
    if (is(type, type_len, "count")) return snapshot_state();
    if (is(type, type_len, "tell")) {
        if (node_tell(payload, len, "greet", 5, "C", 1) < 0) return fail("cannot tell", payload, len);
        free(reply);
        return answer(asprintf(&reply, "told %.*s", len, payload));
    }
    if (!is(type, type_len, "call") && !is(type, type_len, "greet"))
        return fail("unknown message type", type, type_len);
    free(reply);
    return answer(asprintf(&reply, "Hello, %.*s, from C! You are number %llu.", len, payload, ++greeted));
}
