//! The clients of one store, and what they can do.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;

use super::http::Http;

pub(super) struct Store {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// For objects in parts; a WebDAV server has none.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
    /// Lists objects page by page, likewise.
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    /// Deletes many objects with one request, where there is one for it.
    pub(super) bulk: Option<Arc<dyn ObjectStore>>,
    /// Lists uploads that were begun.
    #[cfg(feature = "s3")]
    pub(super) uploads: Option<super::uploads::Uploads>,
    pub(super) http: Http,
}

impl Store {
    #[cfg(any(feature = "gcs", feature = "azure", feature = "http"))]
    pub(super) fn of_one(objects: Arc<dyn ObjectStore>, http: Http) -> Self {
        Self {
            objects,
            parts: None,
            pages: None,
            bulk: None,
            #[cfg(feature = "s3")]
            uploads: None,
            http,
        }
    }
}
