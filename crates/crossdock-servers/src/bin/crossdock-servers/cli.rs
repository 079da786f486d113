//! What can be started.

use clap::{Args, Parser, Subcommand, ValueEnum};
use crossdock_servers::{Aof, RedisOptions, Tls};

/// Starts real servers for tests on free ports of 127.0.0.1. The first line of output is JSON that says where they are. Then
/// each line of input is a command that is answered with one line of JSON; at the end of the input the servers end.
///
/// Commands: kill, stop, cont, terminate, restart, pid. Redis: command WORDS. A cluster wants the number of a node after
/// each command (`kill 1`), and has settle. Sentinel likewise (0 and 1 are the nodes, 2 to 4 the sentinels), with promote,
/// rejoin, settle and primary. With --proxy: proxy drop|drop-reset|drop-silence [TIMES [CONTAINING [SKIP]]], proxy
/// cut-request|cut-reply BYTES [CONTAINING [SKIP]], proxy delay MILLISECONDS, and proxy reset|cut|silence|mend|forget|counts.
///
/// Exits with 3 where a program is not installed.
#[derive(Parser)]
#[command(name = "crossdock-servers", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Subcommand)]
pub(crate) enum What {
    /// One Redis server.
    Redis {
        #[command(flatten)]
        redis: RedisArgs,
        #[command(flatten)]
        tls: TlsArgs,
        /// With a proxy in front that can lose things.
        #[arg(long)]
        proxy: bool,
    },
    /// A Redis cluster.
    Cluster {
        #[command(flatten)]
        redis: RedisArgs,
        #[arg(long, default_value_t = 3)]
        masters: usize,
        /// For each master.
        #[arg(long, default_value_t = 0)]
        replicas: usize,
    },
    /// A Redis primary with a replica, and three sentinels.
    Sentinel {
        #[command(flatten)]
        redis: RedisArgs,
        #[arg(long)]
        sentinel_password: Option<String>,
    },
    /// An S3 server.
    S3 {
        /// A bucket, 3 letters or more; can be repeated.
        #[arg(long, default_value = "objects")]
        bucket: Vec<String>,
        /// With a proxy in front that can lose things.
        #[arg(long)]
        proxy: bool,
    },
}

#[derive(Args)]
pub(crate) struct RedisArgs {
    /// Of the default user.
    #[arg(long)]
    password: Option<String>,
    /// A user who may do everything, as NAME:PASSWORD.
    #[arg(long, value_parser = pair(':'))]
    user: Option<(String, String)>,
    /// Log writes, synced at these times.
    #[arg(long)]
    aof: Option<Sync>,
    /// Any line of redis.conf, as NAME=VALUE, such as maxmemory=3mb; can be repeated.
    #[arg(long, value_parser = pair('='))]
    set: Vec<(String, String)>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sync {
    Everysec,
    Always,
}

#[derive(Args)]
pub(crate) struct TlsArgs {
    /// TLS at its only port, or at a second one.
    #[arg(long, num_args = 0..=1, default_missing_value = "only")]
    tls: Option<Where>,
    /// Clients need a certificate, too.
    #[arg(long, requires = "tls")]
    client_certificates: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Where {
    Only,
    Beside,
}

fn pair(at: char) -> impl Fn(&str) -> Result<(String, String), String> + Clone {
    move |text| match text.split_once(at) {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("there is no {at:?} in it")),
    }
}

impl RedisArgs {
    pub(crate) fn options(&self) -> RedisOptions {
        let mut options = RedisOptions::new();
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some((name, password)) = &self.user {
            options = options.user(name, password);
        }
        if let Some(sync) = self.aof {
            options = options.aof(match sync {
                Sync::Everysec => Aof::EverySecond,
                Sync::Always => Aof::Always,
            });
        }
        self.set.iter().fold(options, |options, (name, value)| options.set(name, value))
    }
}

impl TlsArgs {
    pub(crate) fn add_to(&self, mut options: RedisOptions) -> RedisOptions {
        if let Some(at) = self.tls {
            options = options.tls(match at {
                Where::Only => Tls::Only,
                Where::Beside => Tls::Beside,
            });
        }
        if self.client_certificates { options.client_certificates() } else { options }
    }
}
