// What a profile may hold, and the errors of this module. No I/O.
import Contract
import ServiceKit

enum ProfileError: Error, Equatable {
    /// A field breaks its rule; the text names the field and the rule, never the value.
    case invalid(String)
    case noSuchUser
    /// The profile has moved on from the version that the change was meant for.
    case outdated
}

/// The fields that an update names, checked.
struct ProfileChange: Equatable {
    private static let nicknameRule = TextRule(characters: 1...64)
    private static let signatureRule = TextRule(characters: 0...256)

    let nickname: String?
    let signature: String?
    let expectedVersion: Int64?

    init(_ request: Ringway_V1_UpdateMyProfileRequest) throws(ProfileError) {
        nickname = request.hasNickname ? request.nickname : nil
        signature = request.hasSignature ? request.signature : nil
        expectedVersion = request.hasExpectedVersion ? request.expectedVersion : nil
        if let violation = nickname.flatMap(Self.nicknameRule.violation(by:)) {
            throw .invalid("nickname \(violation)")
        }
        if let violation = signature.flatMap(Self.signatureRule.violation(by:)) {
            throw .invalid("signature \(violation)")
        }
    }

    /// Nothing would change, so there is no new version and no event.
    var isEmpty: Bool { nickname == nil && signature == nil }

    func fits(version: Int64) -> Bool {
        expectedVersion == nil || expectedVersion == version
    }
}
