/* What a core module may import from a PlexSpaces node, and the types of what it exports.
 *
 * docs/core-abi.md says what each function does. A status is 0 or more when it is done, and -1-n for error-code n; where
 * something may be there or not, 1 is there and 0 is not. Texts are UTF-8 without an end mark, by pointer and length. */
#ifndef PLEXSPACES_H
#define PLEXSPACES_H

#include <stdint.h>

#define PLEXSPACES_IMPORT(name) __attribute__((import_module("plexspaces"), import_name(#name))) extern
#define PLEXSPACES_EXPORT(name) __attribute__((export_name(#name)))

/* Where the node writes the pointer and the length of bytes that are the module's from then on. */
typedef struct {
    uint8_t *bytes;
    uint32_t len;
} plexspaces_answer;

enum {
    PLEXSPACES_DONE = 0,
    PLEXSPACES_UNKNOWN = -1,
    PLEXSPACES_ACTOR_NOT_FOUND = -2,
    PLEXSPACES_DELIVERY_FAILED = -3,
    PLEXSPACES_TIMEOUT = -4,
    PLEXSPACES_INVALID_MESSAGE = -5,
    PLEXSPACES_NOT_PERMITTED = -6,
    PLEXSPACES_RESOURCE_EXHAUSTED = -7,
    PLEXSPACES_INTERNAL = -8,
    PLEXSPACES_NOT_IMPLEMENTED = -9,
};

/* ── the log and the message in hand ── */
PLEXSPACES_IMPORT(log) void ps_log(const char *text, uint32_t len);
PLEXSPACES_IMPORT(fail) void ps_fail(const char *text, uint32_t len);
PLEXSPACES_IMPORT(message_id) int32_t ps_message_id(plexspaces_answer *id);
PLEXSPACES_IMPORT(correlation_id) int32_t ps_correlation_id(plexspaces_answer *id);
PLEXSPACES_IMPORT(sent_at) int64_t ps_sent_at(void);
PLEXSPACES_IMPORT(defer) int32_t ps_defer(plexspaces_answer *correlation_id);

/* ── messages ── */
PLEXSPACES_IMPORT(send_message) int32_t ps_send_message(const char *to, uint32_t to_len, const void *payload, uint32_t len);
PLEXSPACES_IMPORT(tell) int32_t ps_tell(const char *to, uint32_t to_len, const char *type, uint32_t type_len, const void *payload, uint32_t len);
PLEXSPACES_IMPORT(ask) int32_t ps_ask(const char *to, uint32_t to_len, const char *type, uint32_t type_len, const void *payload, uint32_t len, uint64_t timeout_ms, plexspaces_answer *reply);
PLEXSPACES_IMPORT(reply) int32_t ps_reply(const void *payload, uint32_t len);
PLEXSPACES_IMPORT(reply_to) int32_t ps_reply_to(const char *id, uint32_t id_len, const void *payload, uint32_t len);
PLEXSPACES_IMPORT(forward) int32_t ps_forward(const char *to, uint32_t to_len, const char *type, uint32_t type_len, const void *payload, uint32_t len, const char *sender, uint32_t sender_len, const char *id, uint32_t id_len);
PLEXSPACES_IMPORT(send_after) int64_t ps_send_after(uint64_t delay_ms, const char *type, uint32_t type_len, const void *payload, uint32_t len);
PLEXSPACES_IMPORT(cancel_timer) int32_t ps_cancel_timer(uint64_t id);
PLEXSPACES_IMPORT(self_id) int32_t ps_self_id(plexspaces_answer *address);
PLEXSPACES_IMPORT(parent_id) int32_t ps_parent_id(plexspaces_answer *address);
PLEXSPACES_IMPORT(now) uint64_t ps_now(void);
PLEXSPACES_IMPORT(sleep) void ps_sleep(uint64_t duration_ms);

/* ── lives of others ── */
PLEXSPACES_IMPORT(spawn) int32_t ps_spawn(const char *module, uint32_t module_len, const void *state, uint32_t state_len, const char *options, uint32_t options_len, plexspaces_answer *address);
PLEXSPACES_IMPORT(stop) int32_t ps_stop(const char *id, uint32_t len, uint64_t timeout_ms);
PLEXSPACES_IMPORT(link) int32_t ps_link(const char *id, uint32_t len);
PLEXSPACES_IMPORT(unlink) int32_t ps_unlink(const char *id, uint32_t len);
PLEXSPACES_IMPORT(monitor) int64_t ps_monitor(const char *id, uint32_t len);
PLEXSPACES_IMPORT(demonitor) int32_t ps_demonitor(uint64_t ref);

/* ── durable keys ── */
PLEXSPACES_IMPORT(keyvalue_get) int32_t ps_keyvalue_get(const char *key, uint32_t key_len, plexspaces_answer *value);
PLEXSPACES_IMPORT(keyvalue_put) int32_t ps_keyvalue_put(const char *key, uint32_t key_len, const void *value, uint32_t len);
PLEXSPACES_IMPORT(keyvalue_put_with_ttl) int32_t ps_keyvalue_put_with_ttl(const char *key, uint32_t key_len, const void *value, uint32_t len, uint64_t ttl_ms);
PLEXSPACES_IMPORT(keyvalue_delete) int32_t ps_keyvalue_delete(const char *key, uint32_t key_len);
PLEXSPACES_IMPORT(keyvalue_exists) int32_t ps_keyvalue_exists(const char *key, uint32_t key_len);
PLEXSPACES_IMPORT(keyvalue_list_keys) int32_t ps_keyvalue_list_keys(const char *prefix, uint32_t prefix_len, uint32_t limit, plexspaces_answer *keys);
/* An expected_len of -1 demands that the key be absent. */
PLEXSPACES_IMPORT(keyvalue_compare_and_swap) int32_t ps_keyvalue_compare_and_swap(const char *key, uint32_t key_len, const void *expected, int32_t expected_len, const void *value, uint32_t len);
PLEXSPACES_IMPORT(keyvalue_increment) int32_t ps_keyvalue_increment(const char *key, uint32_t key_len, int64_t delta, int64_t *sum);
PLEXSPACES_IMPORT(keyvalue_watch) int64_t ps_keyvalue_watch(const char *key, uint32_t key_len);
PLEXSPACES_IMPORT(keyvalue_unwatch) int32_t ps_keyvalue_unwatch(uint64_t subscription);

/* ── the actor's journal ── */
/* The entry's number, from 1; below 0 a status. */
PLEXSPACES_IMPORT(journal_persist) int64_t ps_journal_persist(const char *type, uint32_t type_len, const void *payload, uint32_t len);
/* [{"type":"added","payload":"text"}], or with "payload_encoding":"base64". The last one's number. */
PLEXSPACES_IMPORT(journal_persist_batch) int64_t ps_journal_persist_batch(const char *events, uint32_t len);
/* Made when the handler has returned, before the reply is sent. */
PLEXSPACES_IMPORT(journal_checkpoint) int64_t ps_journal_checkpoint(void);
PLEXSPACES_IMPORT(journal_sequence) int64_t ps_journal_sequence(void);
PLEXSPACES_IMPORT(journal_checkpoint_sequence) int64_t ps_journal_checkpoint_sequence(void);
PLEXSPACES_IMPORT(journal_is_replaying) int32_t ps_journal_is_replaying(void);
PLEXSPACES_IMPORT(journal_cache_side_effect) int32_t ps_journal_cache_side_effect(const char *key, uint32_t key_len, const void *value, uint32_t len, plexspaces_answer *recorded);
/* From, inclusive, to, exclusive; 0 is the end, and no limit. */
PLEXSPACES_IMPORT(journal_read) int32_t ps_journal_read(uint64_t from, uint64_t to, uint32_t limit, plexspaces_answer *entries);
PLEXSPACES_IMPORT(journal_compact) int32_t ps_journal_compact(uint64_t up_to);

/* ── queues ── */
PLEXSPACES_IMPORT(send_to_queue) int32_t ps_send_to_queue(const char *queue, uint32_t queue_len, const char *type, uint32_t type_len, const void *payload, uint32_t len);
PLEXSPACES_IMPORT(send_to_queue_with_options) int32_t ps_send_to_queue_with_options(const char *queue, uint32_t queue_len, const char *type, uint32_t type_len, const void *payload, uint32_t len, uint64_t delay_ms, uint64_t ttl_ms, const void *headers, uint32_t headers_len);
/* The address of the payload's length, with the payload behind it; 0 when nothing came in time; below 0 a status. */
PLEXSPACES_IMPORT(receive_from_queue) int32_t ps_receive_from_queue(const char *queue, uint32_t queue_len, uint64_t timeout_ms);
PLEXSPACES_IMPORT(received_id) int32_t ps_received_id(plexspaces_answer *id);
PLEXSPACES_IMPORT(received_type) int32_t ps_received_type(plexspaces_answer *type);
PLEXSPACES_IMPORT(received_headers) int32_t ps_received_headers(plexspaces_answer *headers);
PLEXSPACES_IMPORT(received_sent_at) uint64_t ps_received_sent_at(void);
PLEXSPACES_IMPORT(received_deliveries) uint32_t ps_received_deliveries(void);
PLEXSPACES_IMPORT(ack) int32_t ps_ack(const char *queue, uint32_t queue_len, const void *id, uint32_t id_len);
PLEXSPACES_IMPORT(nack) int32_t ps_nack(const char *queue, uint32_t queue_len, const void *id, uint32_t id_len, int32_t requeue);
PLEXSPACES_IMPORT(create_queue) int32_t ps_create_queue(const char *queue, uint32_t queue_len, uint32_t max_size, uint64_t message_ttl_ms);
PLEXSPACES_IMPORT(delete_queue) int32_t ps_delete_queue(const char *queue, uint32_t queue_len);
PLEXSPACES_IMPORT(queue_depth) int64_t ps_queue_depth(const char *queue, uint32_t queue_len);

/* ── topics ── */
PLEXSPACES_IMPORT(publish_to_topic) int32_t ps_publish_to_topic(const char *topic, uint32_t topic_len, const char *type, uint32_t type_len, const void *payload, uint32_t len);
/* An empty filter is none. */
PLEXSPACES_IMPORT(subscribe_to_topic) int64_t ps_subscribe_to_topic(const char *topic, uint32_t topic_len, const char *filter, uint32_t filter_len);
PLEXSPACES_IMPORT(unsubscribe_from_topic) int32_t ps_unsubscribe_from_topic(uint64_t subscription);

/* ── tuples, as JSON ── */
PLEXSPACES_IMPORT(tuple_write) int32_t ps_tuple_write(const char *tuple, uint32_t len);
PLEXSPACES_IMPORT(tuple_write_with_ttl) int32_t ps_tuple_write_with_ttl(const char *tuple, uint32_t len, uint64_t ttl_ms);
PLEXSPACES_IMPORT(tuple_read) int32_t ps_tuple_read(const char *pattern, uint32_t len, plexspaces_answer *tuple);
PLEXSPACES_IMPORT(tuple_read_blocking) int32_t ps_tuple_read_blocking(const char *pattern, uint32_t len, uint64_t timeout_ms, plexspaces_answer *tuple);
PLEXSPACES_IMPORT(tuple_read_all) int32_t ps_tuple_read_all(const char *pattern, uint32_t len, uint32_t limit, plexspaces_answer *tuples);
PLEXSPACES_IMPORT(tuple_take) int32_t ps_tuple_take(const char *pattern, uint32_t len, plexspaces_answer *tuple);
PLEXSPACES_IMPORT(tuple_take_blocking) int32_t ps_tuple_take_blocking(const char *pattern, uint32_t len, uint64_t timeout_ms, plexspaces_answer *tuple);
PLEXSPACES_IMPORT(tuple_count) int64_t ps_tuple_count(const char *pattern, uint32_t len);
PLEXSPACES_IMPORT(tuple_subscribe) int64_t ps_tuple_subscribe(const char *pattern, uint32_t len);
PLEXSPACES_IMPORT(tuple_unsubscribe) int32_t ps_tuple_unsubscribe(uint64_t subscription);
PLEXSPACES_IMPORT(tuple_compare_and_swap) int32_t ps_tuple_compare_and_swap(const char *pattern, uint32_t len, const char *expected, uint32_t expected_len, const char *tuple, uint32_t tuple_len);

/* ── locks, as JSON ── */
PLEXSPACES_IMPORT(lock_acquire) int32_t ps_lock_acquire(const char *key, uint32_t key_len, const char *holder, uint32_t holder_len, uint64_t lease_ms, plexspaces_answer *lock);
PLEXSPACES_IMPORT(lock_try_acquire) int32_t ps_lock_try_acquire(const char *key, uint32_t key_len, const char *holder, uint32_t holder_len, uint64_t lease_ms, plexspaces_answer *lock);
PLEXSPACES_IMPORT(lock_renew) int32_t ps_lock_renew(const char *key, uint32_t key_len, const char *holder, uint32_t holder_len, const char *version, uint32_t version_len, uint64_t lease_ms, plexspaces_answer *lock);
PLEXSPACES_IMPORT(lock_release) int32_t ps_lock_release(const char *key, uint32_t key_len, const char *holder, uint32_t holder_len, const char *version, uint32_t version_len, int32_t delete_lock);
PLEXSPACES_IMPORT(lock_look) int32_t ps_lock_look(const char *key, uint32_t key_len, plexspaces_answer *lock);

/* ── process groups ── */
PLEXSPACES_IMPORT(group_create) int32_t ps_group_create(const char *group, uint32_t len);
PLEXSPACES_IMPORT(group_delete) int32_t ps_group_delete(const char *group, uint32_t len);
PLEXSPACES_IMPORT(group_join) int32_t ps_group_join(const char *group, uint32_t len, const char *topics, uint32_t topics_len);
PLEXSPACES_IMPORT(group_leave) int32_t ps_group_leave(const char *group, uint32_t len);
PLEXSPACES_IMPORT(group_members) int32_t ps_group_members(const char *group, uint32_t len, plexspaces_answer *members);
PLEXSPACES_IMPORT(group_list) int32_t ps_group_list(plexspaces_answer *groups);
PLEXSPACES_IMPORT(group_publish) int32_t ps_group_publish(const char *group, uint32_t len, const char *topic, uint32_t topic_len, const void *payload, uint32_t payload_len);

#endif
