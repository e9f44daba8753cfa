// What a profile may hold, what may be searched for, and the errors of this module. No I/O.
import Contract
import Foundation
import ServiceKit

enum ProfileError: Error, Equatable {
    /// A field, as the .proto file names it, breaks its rule, whose text follows the name. Neither holds the value.
    case invalid(_ field: String, _ rule: String)
    case noSuchUser
    /// The profile has moved on from the version that the change was meant for.
    case outdated
    case outdatedSettings
    /// The settings have never had the version since which they were asked for.
    case aheadOfSettings(_ version: Int64)
    case noSuchAvatar
    /// More nicknames are like the query of a search than can be looked at in its time.
    case queryTooCommon
    /// Too many pictures wait to be decoded.
    case busy(retryAfter: Duration)
    /// A library failed on what it should have taken.
    case pictureFailed
}

/// The fields that an update names, checked.
struct ProfileChange: Equatable {
    private static let nicknameRule = TextRule(characters: 1...64)
    private static let signatureRule = TextRule(characters: 0...256)
    private static let regionRule = TextRule(characters: 0...64)
    private static let paths: Set<String> = ["nickname", "signature", "region", "birthday", "custom", "status"]

    let nickname: String?
    let signature: String?
    let region: String?
    /// Empty: remove it.
    let birthday: String?
    let custom: CustomFields?
    let status: Ringway_V1_Profile.Status?
    let expectedVersion: Int64?

    init(_ request: Ringway_V1_UpdateMyProfileRequest, now: Date = .now) throws(ProfileError) {
        var mask = Set(request.updateMask.paths)
        guard mask.isSubset(of: Self.paths) else { throw .invalid("update_mask", "must name fields that can be changed") }
        if !request.hasUpdateMask { mask = request.presentFields }
        nickname = mask.contains("nickname") ? request.nickname : nil
        signature = mask.contains("signature") ? request.signature : nil
        region = mask.contains("region") ? request.region : nil
        birthday = mask.contains("birthday") ? request.birthday : nil
        custom = mask.contains("custom") ? try CustomFields(request.custom) : nil
        status = mask.contains("status") ? request.status : nil
        expectedVersion = request.hasExpectedVersion ? request.expectedVersion : nil
        if let violation = nickname.flatMap(Self.nicknameRule.violation(by:)) { throw .invalid("nickname", violation) }
        if let violation = signature.flatMap(Self.signatureRule.violation(by:)) {
            throw .invalid("signature", violation)
        }
        if let violation = region.flatMap(Self.regionRule.violation(by:)) { throw .invalid("region", violation) }
        if let birthday, !birthday.isEmpty, !CivilDate.isBirthday(birthday, now: now) {
            throw .invalid("birthday", "must be a day from 1900-01-01 to today, as YYYY-MM-DD")
        }
        if let status, !(1...4).contains(status.rawValue) {
            throw .invalid("status", "must be ONLINE, AWAY, BUSY or INVISIBLE")
        }
    }

    /// Nothing would change, so there is no new version and no event.
    var isEmpty: Bool { changesNothingButStatus && status == nil }

    /// The status is not everyone's to see, so it moves neither the version nor the time of change, which are.
    var changesNothingButStatus: Bool {
        nickname == nil && signature == nil && region == nil && birthday == nil && custom == nil
    }

    func fits(version: Int64) -> Bool {
        expectedVersion == nil || expectedVersion == version
    }
}

extension Ringway_V1_UpdateMyProfileRequest {
    fileprivate var presentFields: Set<String> {
        var fields: Set<String> = []
        if hasNickname { fields.insert("nickname") }
        if hasSignature { fields.insert("signature") }
        if hasRegion { fields.insert("region") }
        if hasBirthday { fields.insert("birthday") }
        if hasStatus { fields.insert("status") }
        if !custom.isEmpty { fields.insert("custom") }
        return fields
    }
}

/// What an application keeps with a user, in the order of the keys.
struct CustomFields: Equatable {
    private static let countMax = 16
    private static let bytesMax = 2048
    private static let valueRule = TextRule(characters: 0...256)

    let keys: [String]
    let values: [String]

    init(_ fields: [String: String]) throws(ProfileError) {
        guard fields.count <= Self.countMax else { throw .invalid("custom", "must have at most \(Self.countMax) fields") }
        let sorted = fields.sorted { $0.key < $1.key }
        for (key, value) in sorted {
            guard Self.isKey(key) else { throw .invalid("custom", "must have keys of 1 to 32 characters a-z, 0-9 and _") }
            if let violation = Self.valueRule.violation(by: value) { throw .invalid("custom.\(key)", violation) }
        }
        guard sorted.reduce(0, { $0 + $1.key.utf8.count + $1.value.utf8.count }) <= Self.bytesMax else {
            throw .invalid("custom", "must have at most \(Self.bytesMax) bytes together")
        }
        keys = sorted.map(\.key)
        values = sorted.map(\.value)
    }

    private static func isKey(_ key: String) -> Bool {
        (1...32).contains(key.utf8.count)
            && key.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
                default: false
                }
            }
    }
}

/// Days of the Gregorian calendar, without a clock's time or zone.
enum CivilDate {
    /// Whether the text is a day from 1900 to today, wherever on Earth that is.
    static func isBirthday(_ text: String, now: Date) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 10, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            let year = number(bytes[0..<4]), let month = number(bytes[5..<7]), let day = number(bytes[8..<10]),
            year >= 1900, (1...12).contains(month), day >= 1, day <= length(of: month, in: year)
        else { return false }
        let latest = Int((now.timeIntervalSince1970 / 86_400).rounded(.down)) + 1
        return daysSince1970(year, month, day) <= latest
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        digits.reduce(0) { sum, byte in
            guard let sum, (48...57).contains(byte) else { return nil }
            return sum * 10 + Int(byte) - 48
        }
    }

    private static func isLeap(_ year: Int) -> Bool {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    }

    private static func length(of month: Int, in year: Int) -> Int {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
        // Leap days before the year's first day, less the 477 before 1970.
        let before = year - 1
        let leapDays = before / 4 - before / 100 + before / 400 - 477
        let days = (1..<month).reduce(0) { $0 + length(of: $1, in: year) }
        return (year - 1970) * 365 + leapDays + days + day - 1
    }
}

/// The ids of a batch: each once, in order.
struct UserBatch {
    static let countMax = 100

    let ids: [Int64]

    init(_ ids: [Int64]) throws(ProfileError) {
        guard (1...Self.countMax).contains(ids.count) else {
            throw .invalid("user_ids", "must be 1 to \(Self.countMax)")
        }
        self.ids = Set(ids).sorted()
    }
}

/// A search, checked: first through usernames, then through nicknames, each from a place on.
struct Search: Equatable {
    private static let queryRule = TextRule(characters: 3...64)
    private static let limitMax = 50
    private static let foreignCursor = ProfileError.invalid("cursor", "must be the next_cursor of an earlier page")

    enum Place: Equatable {
        /// Usernames after this one.
        case usernames(after: String)
        /// Users after this one whose nickname matches.
        case nicknames(after: Int64)
    }

    let query: String
    let limit: Int
    let start: Place

    init(_ request: Ringway_V1_SearchProfilesRequest) throws(ProfileError) {
        if let violation = Self.queryRule.violation(by: request.query) { throw .invalid("query", violation) }
        guard (0...Self.limitMax).contains(Int(request.limit)) else {
            throw .invalid("limit", "must be 0 to \(Self.limitMax)")
        }
        query = request.query.lowercased()
        limit = request.limit == 0 ? 20 : Int(request.limit)
        start = try Self.place(request.cursor)
        if case .nicknames = start, !reachesNicknames { throw Self.foreignCursor }
    }

    /// Nicknames are found by three letters in a row; a query without any would have to read them all.
    var reachesNicknames: Bool {
        var run = 0
        for scalar in query.unicodeScalars {
            let isLetter = scalar.properties.isAlphabetic || scalar.properties.numericType != nil
            run = isLetter ? run + 1 : 0
            if run == 3 { return true }
        }
        return false
    }

    /// Where to go on after a place.
    func next(after place: Place) -> Place? {
        if case .usernames = place, reachesNicknames { return .nicknames(after: 0) }
        return nil
    }

    /// The query as a part of a LIKE pattern, none of it a wildcard. By scalars, as Postgres reads it: a wildcard with an
    /// accent on it is another character than a wildcard, and still one.
    var pattern: String {
        var pattern = String.UnicodeScalarView()
        for scalar in query.unicodeScalars {
            if scalar == "%" || scalar == "_" || scalar == "\\" { pattern.append("\\") }
            pattern.append(scalar)
        }
        return String(pattern)
    }

    private static func place(_ cursor: String) throws(ProfileError) -> Place {
        if cursor.isEmpty { return .usernames(after: "") }
        let rest = String(cursor.dropFirst())
        if cursor.utf8.count <= 128, !cursor.contains("\0") {
            if cursor.hasPrefix("u"), !rest.isEmpty { return .usernames(after: rest) }
            if cursor.hasPrefix("n"), let id = Int64(rest), id >= 0 { return .nicknames(after: id) }
        }
        throw foreignCursor
    }
}

extension Search.Place {
    var cursor: String {
        switch self {
        case .usernames(let name): "u\(name)"
        case .nicknames(let id): "n\(id)"
        }
    }
}
