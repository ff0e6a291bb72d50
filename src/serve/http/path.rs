//! Paths that are not in their simplest form, as clients of Go's servers send them: istioctl asks for `//version`.

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// The router, where what nothing answers is sent on to the simplest form of its path, as Go's `ServeMux` does.
pub fn with_simple_paths(router: Router) -> Router {
    router.fallback(async |uri: Uri| -> Response {
        let path = simplest(uri.path());
        if path == uri.path() {
            return StatusCode::NOT_FOUND.into_response();
        }
        let place = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, place)]).into_response()
    })
}

/// A path without empty segments, `.` and `..`; a slash at the end stays.
fn simplest(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, header};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::{simplest, with_simple_paths};

    #[test]
    fn paths_lose_what_says_nothing() {
        for (path, simple) in [
            ("/version", "/version"),
            ("//version", "/version"),
            ("/a//b/./c/../d/", "/a/b/d/"),
            ("/../..", "/"),
            ("//", "/"),
        ] {
            assert_eq!(simplest(path), simple, "{path}");
        }
    }

    #[tokio::test]
    async fn others_are_sent_on_and_unknown_ones_are_not_found() {
        let router = with_simple_paths(Router::new().route("/version", get(async || "1")));
        for (path, status, place) in [
            ("/version", 200, None),
            ("//version?a=b", 301, Some("/version?a=b")),
            ("/unknown", 404, None),
        ] {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answer = router.clone().oneshot(request).await.expect("infallible");
            assert_eq!(answer.status().as_u16(), status, "{path}");
            let found = answer.headers().get(header::LOCATION);
            assert_eq!(found.and_then(|value| value.to_str().ok()), place, "{path}");
        }
    }
}
