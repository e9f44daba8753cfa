// What settings may hold. No I/O.
import Contract
import Foundation
import ServiceKit
import SwiftProtobuf

/// The audiences that an update names, checked, and how the push settings change.
struct SettingsChange {
    let audiences: [PrivacyField: Audience]
    let push: PushChange?
    let expectedVersion: Int64?

    init(_ request: Ringway_V1_UpdateSettingsRequest) throws(ProfileError) {
        let privacy = request.privacy
        var audiences: [PrivacyField: Audience] = [:]
        for (field, isPresent, name, audience) in privacy.fields where isPresent {
            audiences[field] = try Audience(audience, named: "privacy.\(name)")
        }
        self.audiences = audiences
        push = request.hasPush ? try PushChange(request.push) : nil
        expectedVersion = request.hasExpectedVersion ? request.expectedVersion : nil
    }

    var isEmpty: Bool { audiences.isEmpty && push == nil }

    func fits(version: Int64) -> Bool {
        expectedVersion == nil || expectedVersion == version
    }
}

struct PushChange {
    private let named: Ringway_V1_Push

    init(_ push: Ringway_V1_Push) throws(ProfileError) {
        if push.hasQuietHours { try Self.check(push.quietHours) }
        named = push
    }

    /// What is present replaces what was.
    func applied(to push: Ringway_V1_Push) -> Ringway_V1_Push {
        var push = push
        if named.hasEnabled { push.enabled = named.enabled }
        if named.hasPreviews { push.previews = named.previews }
        if named.hasMessages { push.messages = named.messages }
        if named.hasFriendRequests { push.friendRequests = named.friendRequests }
        if named.hasFriendAnswers { push.friendAnswers = named.friendAnswers }
        if named.hasLogins { push.logins = named.logins }
        if named.hasQuietHours { push.quietHours = named.quietHours }
        return push
    }

    private static func check(_ hours: Ringway_V1_QuietHours) throws(ProfileError) {
        if hours == .init() { return }
        guard isTimeOfDay(hours.start) else { throw .invalid("push.quiet_hours.start", "must be HH:MM, 00:00 to 23:59") }
        guard isTimeOfDay(hours.end) else { throw .invalid("push.quiet_hours.end", "must be HH:MM, 00:00 to 23:59") }
        guard hours.start != hours.end else { throw .invalid("push.quiet_hours.end", "must not be the same as start") }
        guard isTimeZone(hours.timeZone) else {
            throw .invalid("push.quiet_hours.time_zone", "must be an IANA name, such as Europe/Berlin")
        }
    }

    private static func isTimeOfDay(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == UInt8(ascii: ":") else { return false }
        let digits = [bytes[0], bytes[1], bytes[3], bytes[4]].map { Int($0) - 48 }
        guard digits.allSatisfy((0...9).contains) else { return false }
        return digits[0] * 10 + digits[1] < 24 && digits[2] * 10 + digits[3] < 60
    }

    /// The zone database's names of no place, some of which devices report that do not know where they are.
    private static let placeless: Set<String> = [
        "UTC", "GMT", "WET", "CET", "MET", "EET", "EST", "MST", "HST", "EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT",
    ]

    /// Names of the zone database only: Foundation would also take "GMT+3" and whatever a path may lead to.
    private static func isTimeZone(_ name: String) -> Bool {
        if placeless.contains(name) { return true }
        guard (3...64).contains(name.utf8.count), name.contains("/"), !name.contains("."), !name.hasPrefix("/") else {
            return false
        }
        let allowed = { (byte: UInt8) in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"),
                UInt8(ascii: "/"):
                true
            default: false
            }
        }
        return name.utf8.allSatisfy(allowed) && TimeZone(identifier: name) != nil
    }
}

extension Ringway_V1_Push {
    /// What holds for a user who has never chosen.
    static let fallback = Ringway_V1_Push.with {
        $0.enabled = true
        $0.previews = true
        $0.messages = true
        $0.friendRequests = true
        $0.friendAnswers = true
        $0.logins = true
    }
}

extension Audience {
    init(_ audience: Ringway_V1_Audience, named name: String) throws(ProfileError) {
        let group = audience.groupID
        switch audience.kind {
        case .everyone: self = .everyone
        case .friends: self = .friends
        case .nobody: self = .nobody
        case .group where group > 0:
            self = .group(group)
            return
        case .group: throw .invalid("\(name).group_id", "must be the id of a group")
        default: throw .invalid("\(name).kind", "must be EVERYONE, FRIENDS, GROUP or NOBODY")
        }
        if group != 0 { throw .invalid("\(name).group_id", "is for GROUP only") }
    }

    var message: Ringway_V1_Audience {
        .with {
            switch self {
            case .everyone: $0.kind = .everyone
            case .friends: $0.kind = .friends
            case .group(let group):
                $0.kind = .group
                $0.groupID = group
            case .nobody: $0.kind = .nobody
            }
        }
    }
}

extension PrivacyRules {
    /// Of a message that has all fields.
    init(_ message: Ringway_V1_Privacy) throws {
        for (field, isPresent, name, audience) in message.fields where isPresent {
            self[field] = try Audience(audience, named: name)
        }
    }

    var message: Ringway_V1_Privacy {
        .with {
            $0.find = self[.find].message
            $0.add = self[.add].message
            $0.message = self[.message].message
            $0.presence = self[.presence].message
            $0.lastSeen = self[.lastSeen].message
            $0.avatar = self[.avatar].message
        }
    }
}

extension Ringway_V1_Privacy {
    fileprivate var fields: [(PrivacyField, isPresent: Bool, name: String, Ringway_V1_Audience)] {
        [
            (.find, hasFind, "find", find), (.add, hasAdd, "add", add), (.message, hasMessage, "message", message),
            (.presence, hasPresence, "presence", presence), (.lastSeen, hasLastSeen, "last_seen", lastSeen),
            (.avatar, hasAvatar, "avatar", avatar),
        ]
    }
}

/// What an update leaves of the settings, and which parts are new.
struct UserSettings: Sendable {
    var version: Int64 = 1
    var privacyVersion: Int64 = 1
    var pushVersion: Int64 = 1
    var updatedAt: Date?
    var privacy = PrivacyRules()
    var push = Ringway_V1_Push.fallback

    /// The parts that changed after `version`.
    func message(since known: Int64) -> Ringway_V1_Settings {
        .with {
            $0.version = version
            if let updatedAt { $0.updatedAt = .init(microsecondsOf: updatedAt) }
            if privacyVersion > known { $0.privacy = privacy.message }
            if pushVersion > known { $0.push = push }
        }
    }

    /// Settings with the change, or nil if nothing would differ: then there is no new version and no event.
    func changed(by change: SettingsChange) -> UserSettings? {
        var next = self
        for (field, audience) in change.audiences { next.privacy[field] = audience }
        if let push = change.push { next.push = push.applied(to: next.push) }
        let privacyDiffers = PrivacyField.allCases.contains { next.privacy[$0] != privacy[$0] }
        guard privacyDiffers || next.push != push else { return nil }
        next.version += 1
        if privacyDiffers { next.privacyVersion = next.version }
        if next.push != push { next.pushVersion = next.version }
        return next
    }
}
