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

/// Settings as they are kept: the versions of both parts, then the whole as it is answered.
struct StoredSettings: Sendable {
    let whole: EncodedMessage<Ringway_V1_Settings>

    var bytes: [UInt8] { whole.bytes }

    init(_ settings: UserSettings) throws {
        whole = try EncodedMessage(settings.message(since: 0), after: [settings.privacyVersion, settings.pushVersion])
    }

    init(bytes: [UInt8]) throws {
        whole = try EncodedMessage(bytes: bytes, after: 2)
    }

    func settings() throws -> UserSettings {
        let message = try whole.message()
        var settings = UserSettings()
        settings.version = message.version
        settings.privacyVersion = EncodedMessage<Ringway_V1_Settings>.number(0, in: bytes) ?? 0
        settings.pushVersion = EncodedMessage<Ringway_V1_Settings>.number(1, in: bytes) ?? 0
        if message.hasUpdatedAt { settings.updatedAt = message.updatedAt.date }
        settings.privacy = try PrivacyRules(message.privacy)
        settings.push = message.push
        return settings
    }

    /// Of a user who has chosen nothing.
    static let untouched = Result { try EncodedMessage(UserSettings().message(since: 0)) }
}
