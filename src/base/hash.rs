//! Maps and sets whose order nobody sees, for keys that are looked up by the thousand: hashed fast,
//! with a seed of each process, so that nobody outside can choose keys that collide.

/// A map without an order.
pub type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// A set without an order.
pub type Set<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;
