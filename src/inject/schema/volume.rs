//! Volumes and where they are mounted (`core/v1`). Sources without quantities or merging lists are plain JSON.

use super::pod::RESOURCE_FIELD_REF;
use super::{Kind, Shape};

/// A volume of a pod.
pub(super) static VOLUME: Shape = Shape {
    fields: &[
        ("name", Kind::Text),
        ("emptyDir", Kind::Optional(&EMPTY_DIR)),
        ("downwardAPI", Kind::Optional(&DOWNWARD)),
    ],
};

/// Where a container sees a volume.
pub(super) static VOLUME_MOUNT: Shape = Shape {
    fields: &[
        ("name", Kind::Text),
        ("readOnly", Kind::Flag),
        ("recursiveReadOnly", Kind::Any),
        ("mountPath", Kind::Text),
        ("subPath", Kind::Text),
        ("mountPropagation", Kind::Any),
        ("subPathExpr", Kind::Text),
    ],
};

static EMPTY_DIR: Shape = Shape {
    fields: &[("medium", Kind::Text), ("sizeLimit", Kind::Quantity)],
};

static DOWNWARD: Shape = Shape {
    fields: &[
        ("items", Kind::List(&DOWNWARD_FILE, None)),
        ("defaultMode", Kind::Any),
    ],
};

static DOWNWARD_FILE: Shape = Shape {
    fields: &[
        ("path", Kind::Text),
        ("fieldRef", Kind::Any),
        ("resourceFieldRef", Kind::Optional(&RESOURCE_FIELD_REF)),
        ("mode", Kind::Any),
    ],
};
