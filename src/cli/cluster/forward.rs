//! One HTTP request to a port of a pod, through the API server: what listens on localhost in there is reached.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::pod::PodName;
use super::{Cluster, told};

/// Sends a request without a body and gives the answer's.
///
/// # Errors
/// One line that names pod, port and path.
pub(crate) async fn request(
    cluster: &Cluster,
    pod: &PodName,
    port: u16,
    method: Method,
    path: &str,
) -> Result<Bytes, String> {
    let wrong = |what: &str, why: String| format!("{what} port {port} of pod {pod}: {why}");
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &pod.namespace);
    let mut forwarder = api
        .portforward(&pod.name, &[port])
        .await
        .map_err(|error| wrong("cannot reach", told(&error)))?;
    let stream = forwarder
        .take_stream(port)
        .expect("the port was asked for above");
    let mut refused = forwarder
        .take_error(port)
        .expect("as was its error channel");
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let request = Request::builder()
            .method(method)
            .uri(format!("/{path}"))
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let answering = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, body))
        };
        tokio::pin!(connection);
        tokio::pin!(answering);
        let answered = tokio::select! {
            biased;
            answered = &mut answering => answered,
            ended = &mut connection => match ended {
                // What was already received may still be the whole answer.
                Ok(()) => answering.await,
                Err(error) => Err(error),
            },
        };
        let (status, body) = answered.map_err(|error| error.to_string())?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body);
            return Err(format!("/{path} answered {status}: {}", text.trim_end()));
        }
        Ok(body)
    };
    tokio::select! {
        biased;
        answer = exchange => match answer {
            Ok(body) => Ok(body),
            // Why nothing listens there is told beside the stream.
            Err(why) => match tokio::time::timeout(std::time::Duration::from_millis(200), &mut refused).await {
                Ok(Some(reason)) => Err(wrong("cannot reach", reason.trim_end().to_owned())),
                _ => Err(wrong("asking", why)),
            },
        },
    }
}
