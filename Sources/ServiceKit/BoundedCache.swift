// A map with a bound, for what may be forgotten. Two generations: when the young one is full the old one goes and the
// young one takes its place, so that what was used lately stays and every operation is O(1). Not synchronized: whoever
// owns it does that.

public struct BoundedCache<Key: Hashable, Value> {
    private let generationMax: Int
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]

    /// At most `capacity` entries, at least half of that before anything is forgotten.
    public init(capacity: Int) {
        precondition(capacity > 1, "a cache holds something")
        generationMax = capacity / 2
    }

    public var count: Int { young.count + old.count }

    /// A look moves an entry to the young.
    public mutating func value(for key: Key) -> Value? {
        if let value = young[key] { return value }
        guard let value = old.removeValue(forKey: key) else { return nil }
        insert(value, for: key)
        return value
    }

    public mutating func insert(_ value: Value, for key: Key) {
        old.removeValue(forKey: key)
        young[key] = value
        if young.count >= generationMax {
            old = young
            young = [:]
        }
    }

    public mutating func remove(_ key: Key) {
        young.removeValue(forKey: key)
        old.removeValue(forKey: key)
    }
}
