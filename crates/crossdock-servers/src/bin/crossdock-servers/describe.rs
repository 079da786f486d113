//! The line that says where everything is.

use std::net::SocketAddr;

use crossdock_servers::{LossyProxy, Redis, Reply, Result, S3};
use serde_json::{Value, json};

use crate::started::Started;

impl Started {
    pub(crate) fn describe(&self) -> Result<Value> {
        Ok(match self {
            Self::Redis(redis, proxy) => {
                let mut said = of_redis(redis);
                said["proxy"] = of_proxy(proxy.as_ref(), |address| ("url", redis.url_at(address)));
                said
            }
            Self::Cluster(cluster) => json!({
                "kind": "cluster",
                "urls": cluster.urls(),
                "nodes": cluster.nodes().iter().map(of_redis).collect::<Vec<_>>(),
            }),
            Self::Sentinel(sentinel) => json!({
                "kind": "sentinel",
                "service": sentinel.service(),
                "primary": sentinel.primary()?.url(),
                "sentinels": sentinel.sentinels().iter().map(of_redis).collect::<Vec<_>>(),
                "nodes": sentinel.nodes().iter().map(of_redis).collect::<Vec<_>>(),
            }),
            Self::S3(s3, proxy) => {
                let mut said = of_s3(s3);
                said["proxy"] = of_proxy(proxy.as_ref(), |address| ("endpoint", format!("http://{address}")));
                said
            }
        })
    }
}

pub(crate) fn of_redis(redis: &Redis) -> Value {
    let (user, password) = redis.login().map_or((None, None), |(user, password)| (user, Some(password)));
    let tls = redis.certificates().zip(redis.tls_address()).map(|(files, address)| {
        json!({
            "url": redis.tls_url(),
            "port": address.port(),
            "ca": files.ca(),
            "client": files.client(),
            "client_key": files.client_key(),
        })
    });
    json!({
        "kind": "redis",
        "url": redis.url(),
        "host": redis.address().ip(),
        "port": redis.address().port(),
        "socket": redis.socket(),
        "user": user,
        "password": password,
        "tls": tls,
        "pid": redis.pid(),
        "dir": redis.dir(),
    })
}

fn of_s3(s3: &S3) -> Value {
    let buckets = s3.buckets().iter().map(|name| (name.clone(), json!(s3.bucket_dir(name)))).collect();
    json!({
        "kind": "s3",
        "endpoint": s3.endpoint(),
        "host": s3.address().ip(),
        "port": s3.address().port(),
        "access_key": s3.access_key(),
        "secret_key": s3.secret_key(),
        "region": "us-east-1",
        "buckets": Value::Object(buckets),
        "pid": s3.pid(),
        "dir": s3.dir(),
    })
}

fn of_proxy(proxy: Option<&LossyProxy>, link: impl Fn(SocketAddr) -> (&'static str, String)) -> Value {
    proxy.map_or(Value::Null, |proxy| {
        let address = proxy.address();
        let (name, link) = link(address);
        json!({"host": address.ip(), "port": address.port(), name: link})
    })
}

pub(crate) fn of_reply(reply: &Reply) -> Value {
    match reply {
        Reply::Nil => Value::Null,
        Reply::Integer(number) => (*number).into(),
        Reply::Bytes(_) => reply.text().into(),
        Reply::Error(why) => json!({ "error": why }),
        Reply::Array(items) => items.iter().map(of_reply).collect(),
    }
}
