//! Blobs: each function, in the application's own place.

use crate::plexspaces::actor::blob::{
    BlobMetadata, copy, delete, download, exists, list_blobs, metadata, upload,
};
use crate::plexspaces::actor::types::{ActorError, Context, ErrorCode};
use crate::report::{Report, own, word};

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

pub fn check(report: &mut Report) {
    let put = |key: &str, data: &[u8], ty: Option<&str>| upload(&own(), "b", key, data, ty);
    report.answers("exists before", exists(&own(), "", "b", "k"), false);
    let stored = put("k", b"hello", Some("text/plain"));
    describes(report, &stored, "k", 5);
    let Ok(stored) = stored else { return };
    let id = &*stored.blob_id;
    report.answers("exists", exists(&own(), "", "b", "k"), true);
    report.answers("exists by id", exists(&own(), id, "", ""), true);
    report.answers("download", download(&own(), "", "b", "k"), b"hello".to_vec());
    report.answers("download by id", download(&own(), id, "", ""), b"hello".to_vec());
    describes(report, &metadata(&own(), "", "b", "k"), "k", 5);
    describes(report, &metadata(&own(), id, "other", "names"), "k", 5);
    report.answers("an empty blob", put("e", b"", None).map(|it| (it.size, it.content_type)), (0, None));
    report.answers("download of nothing", download(&own(), "", "b", "e"), Vec::new());
    let large: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    report.answers("a large blob", put("k/large", &large, None).map(|it| it.size), 1_000_000);
    report.answers("a large download", download(&own(), "", "b", "k/large"), large);
    copies(report, id);
    lists(report);
    report.answers("another content", put("k", b"new", None).map(|it| it.blob_id != *id), true);
    report.answers("the id of the old", exists(&own(), id, "", ""), false);
    report.answers("delete", delete(&own(), "", "b", "k"), ());
    report.answers("delete of nothing", delete(&own(), "", "b", "k"), ());
    report.answers("nothing is left", exists(&own(), "", "b", "k"), false);
    bad_arguments_are_refused(report);
}

fn describes(report: &mut Report, blob: &Result<BlobMetadata, ActorError>, key: &str, size: u64) {
    let so = blob.as_ref().is_ok_and(|it| {
        it.bucket == "b"
            && it.key == key
            && it.size == size
            && it.content_type.as_deref() == Some("text/plain")
            && it.etag.as_deref() == Some(HELLO)
            && it.last_modified > 1_500_000_000_000
            && !it.blob_id.is_empty()
            && !it.tenant_id.is_empty()
            && !it.namespace.is_empty()
    });
    report.holds("what is known of a blob", so, blob);
}

fn copies(report: &mut Report, id: &str) {
    let copied = copy(&own(), "", "b", "k", "c", "k2");
    let copy_id = copied.as_ref().map(|it| it.blob_id.clone()).unwrap_or_default();
    report.answers("copy", copied.map(|it| (it.bucket, it.key, it.size)), ("c".into(), "k2".into(), 5));
    report.holds("a copy has an id of its own", copy_id != id, &copy_id);
    report.answers("copy by id", copy(&own(), id, "", "", "c", "k3").map(|it| it.etag), Some(HELLO.into()));
    report.answers("onto itself", copy(&own(), "", "c", "k3", "c", "k3").map(|it| it.size), 5);
    report.answers("delete by id", delete(&own(), &copy_id, "", ""), ());
    report.answers("the copy is gone", exists(&own(), "", "c", "k2"), false);
    report.answers("the first is there", download(&own(), "", "b", "k"), b"hello".to_vec());
    report.answers("and the other", download(&own(), "", "c", "k3"), b"hello".to_vec());
    report.refuses("copy of nothing", copy(&own(), "", "b", "none", "c", "x"), ErrorCode::InvalidMessage);
    report.refuses("copy to nowhere", copy(&own(), id, "", "", "c", ""), ErrorCode::InvalidMessage);
}

fn lists(report: &mut Report) {
    let list = |prefix: &str, limit| {
        let listed = list_blobs(&own(), "b", prefix, limit);
        listed.map(|blobs| blobs.into_iter().map(|it| it.key).collect::<Vec<_>>())
    };
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    report.answers("list-blobs", list("", 0), keys(&["e", "k", "k/large"]));
    report.answers("with a prefix", list("k", 0), keys(&["k", "k/large"]));
    report.answers("with a limit", list("", 1), keys(&["e"]));
    report.answers("of none", list("none", 0), keys(&[]));
    report.answers("of no bucket", list_blobs(&own(), "none", "", 0).map(|it| it.len()), 0);
}

fn bad_arguments_are_refused(report: &mut Report) {
    let put = |bucket: &str, key: &str, ty| upload(&own(), bucket, key, b"x", ty);
    let long = "k".repeat(1_025);
    for bucket in ["", "..", "a/b", "a b", &long] {
        report.refuses("a bad bucket", put(bucket, "k", None), ErrorCode::InvalidMessage);
        report.refuses("a bad bucket", list_blobs(&own(), bucket, "", 0), ErrorCode::InvalidMessage);
    }
    for key in ["", "a\0b", "a\nb", &long] {
        report.refuses("a bad key", put("b", key, None), ErrorCode::InvalidMessage);
        report.refuses("a bad key", exists(&own(), "", "b", key), ErrorCode::InvalidMessage);
    }
    for ty in ["", "text/plain\r\nx: y", "schlüssel"] {
        report.refuses("a bad content type", put("b", "k", Some(ty)), ErrorCode::InvalidMessage);
    }
    report.refuses("download of nothing", download(&own(), "", "b", "none"), ErrorCode::InvalidMessage);
    report.refuses("metadata of nothing", metadata(&own(), "none", "", ""), ErrorCode::InvalidMessage);
    let too_much = vec![0; 1_048_577];
    report.refuses("too much", upload(&own(), "b", "k", &too_much, None), ErrorCode::ResourceExhausted);
}

/// What a place that may be another's answers; the last leaves nothing there.
pub fn reach(ctx: &Context) -> Vec<String> {
    vec![
        word(&upload(ctx, "b", "k", b"x", None)),
        word(&download(ctx, "", "b", "k")),
        word(&exists(ctx, "", "b", "k")),
        word(&list_blobs(ctx, "b", "", 0)),
        word(&metadata(ctx, "", "b", "k")),
        word(&copy(ctx, "", "b", "k", "b", "k2")),
        word(&delete(ctx, "", "b", "k")),
    ]
}
