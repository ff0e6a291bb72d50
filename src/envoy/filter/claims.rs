//! Conditions on claims of the token that a request came with, as the filter that checked it left
//! them in the request's metadata.

use proto::envoy::r#type::matcher::v3::metadata_matcher::{PathSegment, path_segment};
use proto::envoy::r#type::matcher::v3::{
    ListMatcher, MetadataMatcher, OrMatcher, ValueMatcher, list_matcher, value_matcher,
};

/// The filter that checks tokens.
pub(crate) const JWT: &str = "envoy.filters.http.jwt_authn";
/// The key under which it leaves the claims of a token.
pub(crate) const PAYLOAD: &str = "payload";

/// A condition on metadata of a filter.
pub(crate) fn metadata<'a>(
    filter: &str,
    path: impl IntoIterator<Item = &'a str>,
    value: ValueMatcher,
) -> MetadataMatcher {
    let path = path.into_iter().map(|key| PathSegment {
        segment: Some(path_segment::Segment::Key(key.to_owned())),
    });
    MetadataMatcher {
        filter: filter.to_owned(),
        path: path.collect(),
        value: Some(value),
        invert: false,
    }
}

/// A condition on a claim that is one value.
pub(crate) fn single(claim: &str, value: ValueMatcher) -> MetadataMatcher {
    metadata(JWT, [PAYLOAD, claim], value)
}

/// A condition on a claim that is a value or a list with it.
pub(crate) fn listed<'a>(
    path: impl IntoIterator<Item = &'a str>,
    value: ValueMatcher,
) -> MetadataMatcher {
    let either = vec![in_list(value.clone()), value];
    let path = std::iter::once(PAYLOAD).chain(path);
    metadata(JWT, path, any(either))
}

/// A list with a value.
pub(crate) fn in_list(value: ValueMatcher) -> ValueMatcher {
    let list = ListMatcher {
        match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(value))),
    };
    ValueMatcher {
        match_pattern: Some(value_matcher::MatchPattern::ListMatch(Box::new(list))),
    }
}

/// One of several.
pub(crate) fn any(value_matchers: Vec<ValueMatcher>) -> ValueMatcher {
    let any = OrMatcher { value_matchers };
    ValueMatcher {
        match_pattern: Some(value_matcher::MatchPattern::OrMatch(any)),
    }
}
