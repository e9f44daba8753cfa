// What Auth accepts and refuses, and the errors of this module. No I/O.
import Contract
import Foundation
import ServiceKit

enum AuthError: Error, Equatable {
    /// A field, as the .proto file names it, breaks its rule, whose text follows the name. Neither holds the value.
    case invalid(_ field: String, _ rule: String)
    case usernameTaken
    case emailTaken
    /// Who is logged in has not given the account's password.
    case wrongPassword
    /// No such device, another user's, or one that has ended.
    case noSuchDevice
    /// Unknown user or wrong password: nobody is told which.
    case wrongCredentials
    /// A refresh token that is unknown, expired, used before or logged out.
    case refreshRefused
    /// An access token that is not good, for whatever reason.
    case accessRefused
    /// Too many passwords wait to be hashed.
    case busy(retryAfter: Duration)
    /// The hash function itself failed, for want of memory or on a damaged row.
    case hashingFailed
}

/// ASCII, so that no two names look alike and none has two spellings. What a keyboard for East Asian scripts writes in
/// full width is folded, as NFKC does; whatever else NFKC would turn into ASCII (a Kelvin sign, bold or circled letters)
/// was written to look like something that it is not, and is refused (docs/decisions/0010-ascii-usernames.md).
struct Username: Equatable {
    let text: String

    init(_ input: String) throws(AuthError) {
        // Counted before it is touched: what is too long is not read. A full-width form takes three bytes.
        guard input.utf8.count <= 3 * 32 else { throw Self.violation }
        var folded: [UInt8] = []
        for scalar in input.unicodeScalars {
            guard let byte = Self.ascii(scalar) else { throw Self.lookalike }
            folded.append(Self.upperCase ~= byte ? byte + 32 : byte)
        }
        guard 3...32 ~= folded.count, Self.letters ~= folded[0], folded.allSatisfy(Self.isAllowed) else {
            throw Self.violation
        }
        text = String(decoding: folded, as: UTF8.self)
    }

    private static let upperCase = UInt8(ascii: "A")...UInt8(ascii: "Z")
    private static let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
    private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    private static let marks = Array("_.-".utf8)
    private static let violation = AuthError.invalid(
        "username",
        "must have 3 to 32 of a-z, 0-9, \"_\", \".\" and \"-\", and start with a letter")
    private static let lookalike = AuthError.invalid(
        "username", "must be of ASCII: other letters, invisible ones too, could look like another name")

    private static func ascii(_ scalar: Unicode.Scalar) -> UInt8? {
        switch scalar.value {
        case 0..<0x80: UInt8(scalar.value)
        case 0xff01...0xff5e: UInt8(scalar.value - 0xfee0)
        default: nil
        }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        letters ~= byte || digits ~= byte || marks.contains(byte)
    }
}

/// Names that nobody can register, because whoever has one is taken for the operator.
public struct ReservedUsernames: Sendable {
    private let bare: Set<String>

    /// What users take for an operator, among it mailboxes of RFC 2142.
    private static let usual = [
        "abuse", "admin", "administrator", "billing", "contact", "help", "helpdesk", "hostmaster", "info", "marketing",
        "moderator", "noc", "noreply", "official", "operator", "postmaster", "ringway", "root", "sales", "security", "staff",
        "support", "sysadmin", "system", "webmaster",
    ]

    /// - Parameter names: "usual" stands for a list of our own. Nil when one of the others is no username.
    public init?(_ names: [String]) {
        let names = names.flatMap { $0 == "usual" ? Self.usual : [$0] }
        guard let names = try? names.map(Username.init) else { return nil }
        bare = Set(names.map(Self.bare))
    }

    /// Whether a name is one of them or looks like one, with or without marks in it.
    func contains(_ username: Username) -> Bool { bare.contains(Self.bare(username)) }

    private static func bare(_ username: Username) -> String {
        String(username.text.filter { !"_.-".contains($0) }.map { ["0": "o", "1": "l", "i": "l"][$0] ?? $0 })
            .replacing("rn", with: "m")
    }
}

/// An e-mail address in lower case: the dot-atom form of RFC 5321 in ASCII, at a domain of at least two labels. Whether
/// anyone reads it only a message could tell.
struct EmailAddress: Equatable {
    let text: String

    init(_ input: String) throws(AuthError) {
        guard input.utf8.count <= 254 else { throw Self.violation }
        let parts = input.utf8.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        guard parts.count == 2, Self.isLocalPart(parts[0]), Self.isDomain(parts[1]) else { throw Self.violation }
        text = input.lowercased()
    }

    private static let violation = AuthError.invalid("email", "must be an address such as ada@example.org")
    private static let localMarks = Array("!#$%&'*+-/=?^_`{|}~".utf8)

    private static func isLocalPart(_ text: Substring.UTF8View) -> Bool {
        let atoms = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return text.count <= 64
            && atoms.allSatisfy { !$0.isEmpty && $0.allSatisfy { isAlphanumeric($0) || localMarks.contains($0) } }
    }

    private static func isDomain(_ text: Substring.UTF8View) -> Bool {
        let labels = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return labels.count >= 2 && labels.allSatisfy { label in
            1...63 ~= label.count && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
        } && labels.last?.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } == false
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}

/// A password as it is hashed: in Unicode's composed form (NFC, as RFC 8265's OpaqueString asks), so that the same
/// letters typed on two systems are the same bytes. Characters are counted as Unicode scalars of that form. Any are
/// allowed, NUL and control characters too.
struct Password: Equatable {
    let bytes: [UInt8]

    init(_ input: String) throws(AuthError) {
        // Far more than 256 characters take in any form; it bounds the work of composing them.
        guard input.utf8.count <= 8192 else { throw Self.violation }
        let composed = input.precomposedStringWithCanonicalMapping
        guard 8...256 ~= composed.unicodeScalars.count else { throw Self.violation }
        bytes = Array(composed.utf8)
    }

    /// One that a user chooses: none of those that everyone tries first, nor what others know of the user.
    /// - Parameters:
    ///   - field: of the request, to name in a refusal.
    ///   - known: the username and the e-mail address.
    init(choosing input: String, field: String = "password", known: [String]) throws(AuthError) {
        do {
            try self.init(input)
        } catch {
            throw .invalid(field, "must have 8 to 256 characters")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard !CommonPasswords.contains(text) else {
            throw .invalid(field, "must not be one of the commonly used passwords")
        }
        guard !known.contains(text.lowercased()) else {
            throw .invalid(field, "must not be the username or the e-mail address")
        }
    }

    private static let violation = AuthError.invalid("password", "must have 8 to 256 characters")
}

/// How a device presents itself when it logs in.
struct NewDevice: Equatable {
    static let nameRule = TextRule(characters: 1...64)
    private static let platformRule = TextRule(characters: 1...32)

    let name: String
    let platform: String

    init(_ device: Ringway_V1_Device) throws(AuthError) {
        name = device.name
        platform = device.platform
        if let violation = Self.nameRule.violation(by: name) {
            throw .invalid("device.name", violation)
        }
        if let violation = Self.platformRule.violation(by: platform) {
            throw .invalid("device.platform", violation)
        }
    }
}
