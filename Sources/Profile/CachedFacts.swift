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
    static let settings = CacheFact<StoredSettings>(
        CacheKind("settings", topic: "settings"), encode: { $0.bytes }, decode: { try StoredSettings(bytes: $0) })
}

/// Settings as they are kept: the versions of both parts, eight bytes each, then the whole as it is answered.
struct StoredSettings: Sendable {
    private static let headBytes = 16

    let whole: EncodedMessage<Ringway_V1_Settings>

    var bytes: [UInt8] { whole.bytes }

    init(_ settings: UserSettings) throws {
        let versions = [settings.privacyVersion, settings.pushVersion].flatMap { version in
            withUnsafeBytes(of: version.littleEndian) { Array($0) }
        }
        whole = try EncodedMessage(settings.message(since: 0), after: versions)
    }

    init(bytes: [UInt8]) throws {
        whole = try EncodedMessage(bytes: bytes, after: Self.headBytes)
    }

    func settings() throws -> UserSettings {
        let message = try whole.message()
        var settings = UserSettings()
        settings.version = message.version
        (settings.privacyVersion, settings.pushVersion) = bytes.withUnsafeBytes {
            (
                Int64(littleEndian: $0.loadUnaligned(as: Int64.self)),
                Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: Int64.self))
            )
        }
        if message.hasUpdatedAt { settings.updatedAt = message.updatedAt.date }
        settings.privacy = try PrivacyRules(message.privacy)
        settings.push = message.push
        return settings
    }

    /// Of a user who has chosen nothing.
    static let untouched = Result { try EncodedMessage(UserSettings().message(since: 0)) }
}
