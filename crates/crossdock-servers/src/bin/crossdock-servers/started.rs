//! What runs.

use crossdock_servers::{
    ClusterOptions, LossyProxy, Redis, RedisCluster, RedisSentinel, Result, S3, S3Options, SentinelOptions,
};

use crate::cli::{Cli, What};

/// Whatever was asked for.
pub(crate) enum Started {
    Redis(Redis, Option<LossyProxy>),
    Cluster(RedisCluster),
    Sentinel(Box<RedisSentinel>),
    S3(S3, Option<LossyProxy>),
}

impl Started {
    pub(crate) fn start(cli: &Cli) -> Result<Self> {
        let before = |wanted: bool, server| wanted.then(|| LossyProxy::before(server)).transpose();
        Ok(match &cli.what {
            What::Redis { redis, tls, proxy } => {
                let redis = Redis::start(&tls.add_to(redis.options()))?;
                let proxy = before(*proxy, redis.address())?;
                Self::Redis(redis, proxy)
            }
            What::Cluster { redis, masters, replicas } => {
                let options = ClusterOptions::new().masters(*masters).replicas(*replicas).nodes(redis.options());
                Self::Cluster(RedisCluster::start(&options)?)
            }
            What::Sentinel { redis, sentinel_password } => {
                let mut options = SentinelOptions::new().nodes(redis.options());
                if let Some(password) = sentinel_password {
                    options = options.sentinel_password(password);
                }
                Self::Sentinel(Box::new(RedisSentinel::start(&options)?))
            }
            What::S3 { bucket, proxy } => {
                let options = bucket.iter().fold(S3Options::new(), |options, name| options.bucket(name));
                let s3 = S3::start(&options)?;
                let proxy = before(*proxy, s3.address())?;
                Self::S3(s3, proxy)
            }
        })
    }
}
