// What of this module's facts may be cached, and how. The audience rule is never part of it: what is kept is what the
// owner has set, and the rule is applied to it for each viewer anew.
import Cache
import Contract
import Foundation
import ServiceKit
import SwiftProtobuf

/// For whoever makes the cache.
public let profileCacheKinds = [ProfileFacts.profile.kind, ProfileFacts.lastSeen.kind, ProfileFacts.settings.kind]

enum ProfileFacts {
    /// A whole profile without last_seen, at its revision.
    static let profile = CacheFact<Ringway_V1_Profile>(
        CacheKind("profile", topic: "profile"), encode: { try $0.serializedBytes() },
        decode: { try Ringway_V1_Profile(serializedBytes: $0) })

    /// At its own time in microseconds.
    static let lastSeen = CacheFact<Google_Protobuf_Timestamp>(
        CacheKind("last_seen", topic: "last_seen"), encode: { try $0.serializedBytes() },
        decode: { try Google_Protobuf_Timestamp(serializedBytes: $0) })

    /// Of a user who has chosen something.
    static let settings = CacheFact<UserSettings>(
        CacheKind("settings", topic: "settings"), encode: { try $0.stored() }, decode: { try UserSettings(stored: $0) })
}

extension UserSettings {
    /// The versions of both parts, eight bytes each, then the whole as the contract's message.
    fileprivate func stored() throws -> [UInt8] {
        let versions = [privacyVersion, pushVersion].flatMap { version in
            withUnsafeBytes(of: version.littleEndian) { Array($0) }
        }
        let message: [UInt8] = try message(since: 0).serializedBytes()
        return versions + message
    }

    fileprivate init(stored bytes: [UInt8]) throws {
        guard bytes.count >= 16 else { throw CacheError.unreadable }
        let message = try Ringway_V1_Settings(serializedBytes: Array(bytes[16...]))
        self.init()
        version = message.version
        privacyVersion = bytes.withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(as: Int64.self)) }
        pushVersion = bytes.withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: Int64.self)) }
        if message.hasUpdatedAt { updatedAt = message.updatedAt.date }
        privacy = try PrivacyRules(message.privacy)
        push = message.push
    }
}
