//! Large values in buckets. Core modules have no spelling of these functions.

use bytes::Bytes;

use super::bindings::blob::{BlobMetadata, Host};
use super::bindings::types::{ActorError, Context, ErrorCode};
use super::keyvalue::storage_code;
use super::{Guest, actor_error};
use crate::id::Scope;
use crate::limits;
use crate::storage::{Blob, BlobError, BlobName, Label, Wanted};
use crate::wasm::exchange;

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "upload",
    "download",
    "delete",
    "exists",
    "list-blobs",
    "metadata",
    "copy",
];

type Answer<T> = wasmtime::Result<Result<T, ActorError>>;

impl Host for Guest {
    async fn upload(
        &mut self,
        context: Context,
        bucket: String,
        key: String,
        data: Vec<u8>,
        content_type: Option<String>,
    ) -> Answer<BlobMetadata> {
        Ok(self.store(context, bucket, key, data, content_type).await)
    }

    async fn download(
        &mut self,
        context: Context,
        blob_id: String,
        bucket: String,
        key: String,
    ) -> Answer<Vec<u8>> {
        Ok(self.content(context, (blob_id, bucket, key)).await)
    }

    async fn delete(
        &mut self,
        context: Context,
        blob_id: String,
        bucket: String,
        key: String,
    ) -> Answer<()> {
        Ok(self.remove(context, (blob_id, bucket, key)).await)
    }

    async fn exists(
        &mut self,
        context: Context,
        blob_id: String,
        bucket: String,
        key: String,
    ) -> Answer<bool> {
        let found = self.found(context, (blob_id, bucket, key)).await;
        Ok(found.map(|blob| blob.is_some()))
    }

    async fn list_blobs(
        &mut self,
        context: Context,
        bucket: String,
        prefix: String,
        limit: u32,
    ) -> Answer<Vec<BlobMetadata>> {
        Ok(self.in_bucket(context, bucket, prefix, limit).await)
    }

    async fn metadata(
        &mut self,
        context: Context,
        blob_id: String,
        bucket: String,
        key: String,
    ) -> Answer<BlobMetadata> {
        let found = self.found(context, (blob_id, bucket, key)).await;
        let found = found.and_then(|blob| blob.ok_or_else(|| BlobError::Unknown.into()));
        Ok(found.map(Into::into))
    }

    async fn copy(
        &mut self,
        context: Context,
        source_blob_id: String,
        source_bucket: String,
        source_key: String,
        dest_bucket: String,
        dest_key: String,
    ) -> Answer<BlobMetadata> {
        let source = (source_blob_id, source_bucket, source_key);
        Ok(self.copied(context, source, dest_bucket, dest_key).await)
    }
}

/// Id, bucket and key, as a guest gives them.
type Named = (String, String, String);

fn name((id, bucket, key): &Named) -> Result<BlobName, BlobError> {
    BlobName::of(id, bucket, key)
}

impl Guest {
    async fn store(
        &mut self,
        context: Context,
        bucket: String,
        key: String,
        data: Vec<u8>,
        content_type: Option<String>,
    ) -> Result<BlobMetadata, ActorError> {
        let place = self.place(&context)?;
        let owner = self.actor.application();
        let label = Label::parse(&place, owner, &bucket, &key, content_type)?;
        let (data, _share) = self.laid_down(data)?;
        let blobs = &self.services.storage.blobs;
        let mut deposit = blobs.deposit(Some(data.len() as u64)).await?;
        for chunk in chunks(data) {
            deposit.write(chunk).await?;
        }
        let deposited = deposit.finish().await?;
        Ok(deposited.keep(label).await?.into())
    }

    async fn content(&mut self, context: Context, named: Named) -> Result<Vec<u8>, ActorError> {
        let place = self.place(&context)?;
        let blobs = &self.services.storage.blobs;
        let name = name(&named)?;
        let blob = blobs.find(&place, &name).await?;
        let blob = blob.ok_or(BlobError::Unknown)?;
        // What is replaced meanwhile by something larger is not read beyond what is counted here.
        let bytes = usize::try_from(blob.bytes).unwrap_or(usize::MAX);
        self.fits(bytes)?;
        let _share = self.in_flight(bytes)?;
        Ok(blobs.read(&place, &name, bytes).await?.into())
    }

    async fn remove(&mut self, context: Context, named: Named) -> Result<(), ActorError> {
        let place = self.place(&context)?;
        let blobs = &self.services.storage.blobs;
        match blobs.delete(&place, &name(&named)?).await {
            // As with keys: what is absent already is no error.
            Ok(()) | Err(BlobError::Unknown) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn found(&mut self, context: Context, named: Named) -> Result<Option<Blob>, ActorError> {
        let place = self.place(&context)?;
        let blobs = &self.services.storage.blobs;
        Ok(blobs.find(&place, &name(&named)?).await?)
    }

    async fn in_bucket(
        &mut self,
        context: Context,
        bucket: String,
        prefix: String,
        limit: u32,
    ) -> Result<Vec<BlobMetadata>, ActorError> {
        let place = self.place(&context)?;
        let bucket = Scope::parse("bucket", &bucket).map_err(BlobError::from)?;
        let wanted = Wanted {
            bucket,
            prefix,
            offset: 0,
            limit: if limit == 0 {
                usize::MAX
            } else {
                limit as usize
            },
            bytes_max: exchange::passed_bytes_max(&self.limits),
        };
        let listed = self.services.storage.blobs.list(&place, wanted).await?;
        Ok(listed.blobs.into_iter().map(Into::into).collect())
    }

    async fn copied(
        &mut self,
        context: Context,
        source: Named,
        bucket: String,
        key: String,
    ) -> Result<BlobMetadata, ActorError> {
        let place = self.place(&context)?;
        let (blobs, owner) = (&self.services.storage.blobs, self.actor.application());
        let source = name(&source)?;
        let copied = blobs.copy(&place, owner, &source, &bucket, &key);
        Ok(copied.await?.into())
    }
}

/// A piece at a time, so that the file worker comes to others' work in between.
fn chunks(mut data: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let bytes = data.len().min(limits::CHUNK_BYTES_MAX);
        (bytes > 0).then(|| data.split_to(bytes))
    })
}

impl From<Blob> for BlobMetadata {
    fn from(blob: Blob) -> Self {
        Self {
            blob_id: blob.id,
            bucket: blob.bucket.to_string(),
            key: blob.key,
            size: blob.bytes,
            content_type: blob.content_type,
            etag: Some(blob.digest.to_string()),
            last_modified: blob.modified_ms,
            tenant_id: blob.place.tenant.to_string(),
            namespace: blob.place.namespace.to_string(),
        }
    }
}

impl From<BlobError> for ActorError {
    fn from(error: BlobError) -> Self {
        let code = match &error {
            BlobError::Bucket(_) | BlobError::Key | BlobError::ContentType => {
                ErrorCode::InvalidMessage
            }
            BlobError::Unknown => ErrorCode::InvalidMessage,
            BlobError::TooLarge
            | BlobError::TooLong { .. }
            | BlobError::TooMany(_)
            | BlobError::NoRoom
            | BlobError::Spent(_) => ErrorCode::ResourceExhausted,
            BlobError::Storage(error) => storage_code(error),
        };
        actor_error(code, error.to_string())
    }
}
