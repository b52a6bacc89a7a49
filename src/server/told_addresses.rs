//! Where clients are told to connect, said once at the start; `api::told_address` decides it for each of them.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Config, HostPort};
use crate::network::Gateways;

/// Logs the rule of every listener that advertises no host.
pub(super) fn log_rule(config: &Config, bound: &[(Arc<str>, SocketAddr)], gateways: &Gateways) {
    for (name, advertised) in advertised(config, bound) {
        if advertised.host.is_empty() {
            tracing::info!("{}", rule(&name, advertised.port, gateways));
        }
    }
}

/// What each listener advertises, if it is advertised, with the port that was bound where none is given. An empty host
/// stands for the address by which each client comes.
pub(super) fn advertised(config: &Config, bound: &[(Arc<str>, SocketAddr)]) -> Vec<(Arc<str>, HostPort)> {
    let listeners = config.listeners.iter().zip(bound);
    let advertised = listeners.filter_map(|(listener, (name, address))| {
        let HostPort { host, port } = listener.advertised.clone()?;
        Some((Arc::clone(name), HostPort { host, port: if port == 0 { address.port() } else { port } }))
    });
    advertised.collect()
}

fn rule(listener: &str, port: u16, gateways: &Gateways) -> String {
    let through = if gateways.is_empty() { String::new() } else { format!(" or through its gateway ({gateways})") };
    format!(
        "listener {listener} advertises no host: a client of this machine{through} is told localhost:{port}, any other the \
         address by which it came; advertised.listeners={listener}://HOST:{port} tells all the same"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_names_the_gateway_where_there_is_one() {
        let gateways = Gateways::from_iter(["172.17.0.1".parse().unwrap()]);
        let rule = |gateways| rule("PLAINTEXT", 9092, &gateways);
        assert_eq!(
            rule(gateways),
            "listener PLAINTEXT advertises no host: a client of this machine or through its gateway (172.17.0.1) is told \
             localhost:9092, any other the address by which it came; advertised.listeners=PLAINTEXT://HOST:9092 tells all \
             the same"
        );
        assert!(rule(Gateways::default()).contains("a client of this machine is told localhost:9092, any other"));
    }
}
