//! The one integration test binary: in-process brokers and servers on port 0, raw protocol, faults.
#![cfg(test)]

mod administration;
mod alter_configs;
mod api_table;
mod authorization;
mod bad_groups;
mod bad_input;
mod bad_records;
mod broker;
mod client;
mod client_admin;
mod client_groups;
mod cluster;
mod compressed;
mod configs;
mod data_directory;
mod decode;
mod environments;
mod fetch_response;
mod fetching;
mod groups;
mod groups_runtime;
mod hostile;
mod http;
mod logs;
mod metrics;
mod network;
mod producers;
mod quotas;
mod restart;
mod round_trips;
mod security;
mod server;
mod told_addresses;
mod topics;
mod versions;
