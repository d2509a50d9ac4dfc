//! A .torrent from an http(s) URL that the user named.

use std::time::Duration;

use bytes::Bytes;
use p2p_wire::control::ErrorKind;

use super::Trackers;
use crate::Fault;

/// Until the whole file is there.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Trackers {
    /// Reads what is at `url`, of at most `limit` bytes. Redirects are not followed: they could lead to services of this machine.
    pub(crate) async fn download(&self, url: &str, limit: usize) -> Result<Bytes, Fault> {
        let host = url::Url::parse(url).ok();
        let host = host
            .as_ref()
            .and_then(url::Url::host_str)
            .unwrap_or("there");
        let fault = |kind, why: String| {
            Fault::new(
                kind,
                format!("cannot get the .torrent from {host}"),
                why,
                "Download it, then:  p2pctl fetch FILE.torrent",
            )
        };
        let answer = self.inner.http.get(url, limit, TIMEOUT).await;
        let answer = answer.map_err(|error| fault(ErrorKind::Failed, error.to_string()))?;
        match answer.status.as_u16() {
            200 => Ok(answer.body),
            404 | 410 => Err(fault(ErrorKind::NotFound, "it is not there".to_owned())),
            status => Err(fault(
                ErrorKind::Failed,
                format!("the server answers {status}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::engine::Events;
    use crate::net::LocalAddrs;
    use crate::state::State;

    #[tokio::test]
    async fn a_file_is_read_whole_or_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let trackers = Trackers::open(state, Events::default(), Vec::new(), LocalAddrs::default());
        let trackers = trackers.await.unwrap();
        let server = testing::serve(|_| testing::json(200, &"x")).await;
        let body = trackers.download(&server.url, 10).await.unwrap();
        assert_eq!(&body[..], b"\"x\"");
        let fault = trackers.download(&server.url, 1).await.unwrap_err();
        assert!(fault.why.contains("longer"), "{fault}");
        let server = testing::serve(|_| testing::json(404, &"x")).await;
        let fault = trackers.download(&server.url, 10).await.unwrap_err();
        assert_eq!(fault.kind, ErrorKind::NotFound);
    }
}
