// What Auth accepts and refuses, and the errors of this module. No I/O.
import Contract
import Foundation
import ServiceKit

enum AuthError: Error, Equatable {
    /// A field breaks its rule; the text names the field and the rule, never the value.
    case invalid(String)
    case usernameTaken
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

/// ASCII only, so that no two names look alike and none has two spellings.
struct Username: Equatable {
    let text: String

    init(_ input: String) throws(AuthError) {
        // Counted before it is touched: what is too long is not read.
        guard 3...32 ~= input.utf8.count else { throw Self.violation }
        let folded = input.utf8.map { Self.upperCase ~= $0 ? $0 + 32 : $0 }
        guard Self.letters ~= folded[0], folded.allSatisfy(Self.isAllowed) else { throw Self.violation }
        text = String(decoding: folded, as: UTF8.self)
    }

    private static let upperCase = UInt8(ascii: "A")...UInt8(ascii: "Z")
    private static let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
    private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    private static let marks = Array("_.-".utf8)
    private static let violation = AuthError.invalid(
        "username must have 3 to 32 of a-z, 0-9, \"_\", \".\" and \"-\", and start with a letter")

    private static func isAllowed(_ byte: UInt8) -> Bool {
        letters ~= byte || digits ~= byte || marks.contains(byte)
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

    private static let violation = AuthError.invalid("password must have 8 to 256 characters")
}

/// How a device presents itself when it logs in.
struct NewDevice: Equatable {
    private static let nameRule = TextRule(characters: 1...64)
    private static let platformRule = TextRule(characters: 1...32)

    let name: String
    let platform: String

    init(_ device: Ringway_V1_Device) throws(AuthError) {
        name = device.name
        platform = device.platform
        if let violation = Self.nameRule.violation(by: name) { throw .invalid("device.name \(violation)") }
        if let violation = Self.platformRule.violation(by: platform) { throw .invalid("device.platform \(violation)") }
    }
}
