//! Binding to the addresses of the configuration, over TCP and UDP.

use std::io;

use nix::errno::Errno;

/// Binds with `bind`. `[::]` takes IPv4 too; on a machine without IPv6 it is `0.0.0.0`. An error names the address; `over` is put behind it.
pub(crate) async fn bound<T, F>(
    address: &str,
    over: &str,
    bind: impl Fn(String) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let bound = match (
        bind(address.to_owned()).await,
        address.strip_prefix("[::]:"),
    ) {
        (Err(error), Some(port)) if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => {
            bind(format!("0.0.0.0:{port}")).await
        }
        (bound, _) => bound,
    };
    let named = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {address}{over}: {error}"),
        )
    };
    bound.map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_without_ipv6_listens_over_ipv4() {
        let bind = async |address: String| {
            if address.starts_with('[') {
                return Err(io::Error::from(Errno::EAFNOSUPPORT));
            }
            Ok(address)
        };
        assert_eq!(bound("[::]:1", "", bind).await.unwrap(), "0.0.0.0:1");
        let one_address = bound("[::1]:1", " over UDP", bind).await.unwrap_err();
        let said = one_address.to_string();
        assert!(
            said.starts_with("cannot listen on [::1]:1 over UDP: "),
            "{said}"
        );
    }
}
