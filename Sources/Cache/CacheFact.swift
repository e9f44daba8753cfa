// What may be cached: facts, each named by its kind and one or two users' ids, with the version of the row that it was
// read from. A service declares its own kinds and is the only one that reads or drops their keys.

/// A kind of fact, e.g. profiles.
public struct CacheKind: Hashable, Sendable {
    /// Begins every key of the kind and labels its counters; no other kind has it.
    public let name: String
    /// Of the notifications that end facts of this kind (deploy/migrations/0040_cache.sql). Nil: nothing ends them; they
    /// carry in themselves what they depend on.
    public let topic: String?

    /// How its values are stored. Raise it when that changes: nodes of different versions share a Redis, and none may read
    /// what another has stored in a form that it does not know.
    public let form: Int

    public init(_ name: String, topic: String?, form: Int = 1) {
        self.name = name
        self.topic = topic
        self.form = form
    }

    public func key(_ id: Int64, _ other: Int64 = 0) -> CacheKey {
        CacheKey(kind: self, id: id, other: other)
    }
}

public struct CacheKey: Hashable, Sendable, CustomStringConvertible {
    public let kind: CacheKind
    public let id: Int64
    /// For facts about a pair; 0 otherwise.
    public let other: Int64

    public var description: String { other == 0 ? "\(kind.name):\(id)" : "\(kind.name):\(id):\(other)" }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(kind.name)
        hasher.combine(id)
        hasher.combine(other)
    }
}

/// A fact as it was read.
public struct CacheEntry: Hashable, Sendable {
    /// Grows with every commit that changes the fact; 0 where there is nothing yet.
    public let version: Int64
    /// Serialized; nil: there is no such thing, which is a fact like any other.
    public let value: [UInt8]?

    public init(version: Int64, value: [UInt8]?) {
        self.version = version
        self.value = value
    }

    public static let absent = CacheEntry(version: 0, value: nil)
    /// The version of what has ended for good. (2^53 - 1: Redis compares versions in floating point.)
    public static let gone: Int64 = 9_007_199_254_740_991
}

/// Bytes that are no value of their kind; the database is asked instead.
public enum CacheError: Error {
    case unreadable
}

/// A kind with its Swift type.
public struct CacheFact<Value: Sendable>: Sendable {
    public let kind: CacheKind
    let encode: @Sendable (Value) throws -> [UInt8]
    let decode: @Sendable ([UInt8]) throws -> Value
    let holds: @Sendable ([UInt8]) -> Bool

    /// - Parameter holds: whether a value that is kept still holds; for facts that end without a change.
    public init(
        _ kind: CacheKind, encode: @escaping @Sendable (Value) throws -> [UInt8],
        decode: @escaping @Sendable ([UInt8]) throws -> Value, holds: @escaping @Sendable ([UInt8]) -> Bool = { _ in true }
    ) {
        self.kind = kind
        self.encode = encode
        self.decode = decode
        self.holds = holds
    }
}

/// A value and the version that it was read at.
public struct CachedValue<Value: Sendable>: Sendable {
    public let value: Value
    public let version: Int64

    public init(_ value: Value, version: Int64) {
        self.value = value
        self.version = version
    }
}

extension CachedValue: Equatable where Value: Equatable {}

extension Cache {
    /// The facts of these ids; an id without one is left out.
    ///
    /// - Parameter load: reads them from the database, and says of each what it is and at which version.
    public func read<Value>(
        _ fact: CacheFact<Value>, of ids: [Int64],
        load: @escaping @Sendable ([Int64]) async throws -> [Int64: CachedValue<Value>]
    ) async throws -> [Int64: CachedValue<Value>] {
        guard isOn else { return try await load(ids) }
        let loadEntries: Load = { keys in
            let found = try await load(keys.map(\.id))
            return try Dictionary(
                uniqueKeysWithValues: keys.map { key in
                    let entry = try found[key.id].map {
                        CacheEntry(version: $0.version, value: try fact.encode($0.value))
                    }
                    return (key, entry ?? .absent)
                })
        }
        let keys = Set(ids).map { fact.kind.key($0) }
        var values: [Int64: CachedValue<Value>] = [:]
        var unreadable: [Int64] = []
        let fits: Fits = { _, entry in entry.value.map(fact.holds) ?? true }
        for (key, entry) in try await entries(for: keys, fits: fits, load: loadEntries) {
            guard let bytes = entry.value else { continue }
            do {
                values[key.id] = CachedValue(try fact.decode(bytes), version: entry.version)
            } catch {
                unreadable.append(key.id)
            }
        }
        if !unreadable.isEmpty {
            drop(unreadable.map { fact.kind.key($0) })
            values.merge(try await load(unreadable)) { $1 }
        }
        return values
    }
}
