//! `object_store`, `opendal` and `redis`, as a person would call them who waits for each answer.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use crossdock_bench::Outcome;
use crossdock_servers::{Redis, S3};
use futures_util::future::try_join_all;
use object_store::ObjectStoreExt;
use opendal::Operator;
use redis::IntoConnectionInfo;
use redis::io::tcp::TcpSettings;
use tokio::runtime::Runtime;

use crate::bench::{Held, Store};

/// Why nobody takes part.
pub(crate) const ABSENT: Option<&str> = None;

type Stores = Outcome<Vec<Box<dyn Store>>>;

pub(crate) fn memory() -> Stores {
    let runtime = runtime()?;
    let objects = ObjectStore { runtime: runtime.clone(), store: Box::new(object_store::memory::InMemory::new()) };
    Ok(vec![
        Box::new(objects),
        Box::new(Opendal { runtime, operator: Operator::new(opendal::services::Memory::default())? }),
    ])
}

pub(crate) fn files(dir: &Path) -> Stores {
    let runtime = runtime()?;
    let (theirs, opendals) = (dir.join("object_store"), dir.join("opendal"));
    fs::create_dir(&theirs)?;
    let store = Box::new(object_store::local::LocalFileSystem::new_with_prefix(&theirs)?);
    let builder = opendal::services::Fs::default().root(&opendals.to_string_lossy());
    Ok(vec![
        Box::new(ObjectStore { runtime: runtime.clone(), store }),
        Box::new(Opendal { runtime, operator: Operator::new(builder)? }),
    ])
}

pub(crate) fn redis(server: &Redis) -> Stores {
    // By itself it waits for acknowledgements, which takes 40 ms where an object goes out in two parts.
    let settings = TcpSettings::default().set_nodelay(true);
    let info = format!("redis://{}", server.address()).into_connection_info()?.set_tcp_settings(settings);
    Ok(vec![Box::new(RedisRs(RefCell::new(redis::Client::open(info)?.get_connection()?)))])
}

pub(crate) fn s3(server: &S3) -> Stores {
    // Its client wants one, though no request here is encrypted. An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = object_store::aws::AmazonS3Builder::new()
        .with_bucket_name("objects")
        .with_region("us-east-1")
        .with_endpoint(server.endpoint())
        .with_access_key_id(server.access_key())
        .with_secret_access_key(server.secret_key())
        .with_allow_http(true)
        .build()?;
    Ok(vec![Box::new(ObjectStore { runtime: runtime()?, store: Box::new(store) })])
}

/// The current thread's: answers come without a wake-up of another one.
fn runtime() -> Outcome<Arc<Runtime>> {
    Ok(Arc::new(tokio::runtime::Builder::new_current_thread().enable_all().build()?))
}

struct ObjectStore {
    runtime: Arc<Runtime>,
    store: Box<dyn object_store::ObjectStore>,
}

impl ObjectStore {
    /// Whole, also where it is large: in parts was slower on the server of the tests.
    async fn write(&self, object: &Bytes) -> Outcome<Held> {
        let name = Held::new_name();
        self.store.put(&name.as_str().into(), object.clone().into()).await?;
        Ok(Held::Name(name))
    }

    async fn read(&self, held: &Held) -> Outcome<u64> {
        Ok(self.store.get(&held.name()?.into()).await?.bytes().await?.len() as u64)
    }

    async fn delete(&self, held: &Held) -> Outcome {
        Ok(self.store.delete(&held.name()?.into()).await?)
    }
}

impl Store for ObjectStore {
    fn name(&self) -> &'static str {
        "object_store"
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        self.runtime.block_on(self.write(object))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        self.runtime.block_on(self.read(held))
    }

    fn evict(&self, held: Held) -> Outcome {
        self.runtime.block_on(self.delete(&held))
    }

    /// It has no batches: all at the same time is what its users do.
    fn put_batch(&self, objects: &[Bytes]) -> Outcome<Vec<Held>> {
        self.runtime.block_on(try_join_all(objects.iter().map(|object| self.write(object))))
    }

    fn get_batch(&self, held: &[Held]) -> Outcome<u64> {
        Ok(self.runtime.block_on(try_join_all(held.iter().map(|held| self.read(held))))?.into_iter().sum())
    }

    fn evict_batch(&self, held: Vec<Held>) -> Outcome {
        self.runtime.block_on(try_join_all(held.iter().map(|held| self.delete(held))))?;
        Ok(())
    }
}

struct Opendal {
    runtime: Arc<Runtime>,
    operator: Operator,
}

impl Opendal {
    async fn write(&self, object: &Bytes) -> Outcome<Held> {
        let name = Held::new_name();
        self.operator.write(&name, object.clone()).await?;
        Ok(Held::Name(name))
    }

    async fn read(&self, held: &Held) -> Outcome<u64> {
        Ok(self.operator.read(held.name()?).await?.to_bytes().len() as u64)
    }
}

impl Store for Opendal {
    fn name(&self) -> &'static str {
        "opendal"
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        self.runtime.block_on(self.write(object))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        self.runtime.block_on(self.read(held))
    }

    fn evict(&self, held: Held) -> Outcome {
        Ok(self.runtime.block_on(self.operator.delete(held.name()?))?)
    }

    fn put_batch(&self, objects: &[Bytes]) -> Outcome<Vec<Held>> {
        self.runtime.block_on(try_join_all(objects.iter().map(|object| self.write(object))))
    }

    fn get_batch(&self, held: &[Held]) -> Outcome<u64> {
        Ok(self.runtime.block_on(try_join_all(held.iter().map(|held| self.read(held))))?.into_iter().sum())
    }
}

/// The crate `redis`, with one connection.
struct RedisRs(RefCell<redis::Connection>);

impl Store for RedisRs {
    fn name(&self) -> &'static str {
        "redis-rs"
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        let name = Held::new_name();
        redis::cmd("SET").arg(&name).arg(&object[..]).query::<()>(&mut *self.0.borrow_mut())?;
        Ok(Held::Name(name))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        let object: Vec<u8> = redis::cmd("GET").arg(held.name()?).query(&mut *self.0.borrow_mut())?;
        Ok(object.len() as u64)
    }

    fn evict(&self, held: Held) -> Outcome {
        self.evict_batch(vec![held])
    }

    fn put_batch(&self, objects: &[Bytes]) -> Outcome<Vec<Held>> {
        let names: Vec<String> = objects.iter().map(|_| Held::new_name()).collect();
        let mut pipe = redis::pipe();
        for (name, object) in names.iter().zip(objects) {
            pipe.cmd("SET").arg(name).arg(&object[..]).ignore();
        }
        pipe.query::<()>(&mut *self.0.borrow_mut())?;
        Ok(names.into_iter().map(Held::Name).collect())
    }

    fn get_batch(&self, held: &[Held]) -> Outcome<u64> {
        let mut pipe = redis::pipe();
        for held in held {
            pipe.cmd("GET").arg(held.name()?);
        }
        let objects: Vec<Vec<u8>> = pipe.query(&mut *self.0.borrow_mut())?;
        Ok(objects.iter().map(|object| object.len() as u64).sum())
    }

    fn evict_batch(&self, held: Vec<Held>) -> Outcome {
        let names = held.iter().map(Held::name).collect::<Outcome<Vec<&str>>>()?;
        Ok(redis::cmd("UNLINK").arg(names).query::<()>(&mut *self.0.borrow_mut())?)
    }
}
