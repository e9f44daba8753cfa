// Which bucket each call takes from. Keys begin with what they count, so that buckets of one store never meet.
import ServiceKit

struct AuthLimits: Sendable {
    let limiter: any RateLimiter
    let settings: AuthSettings

    /// A call that needs no token.
    func takeForAddress() async throws { try await limiter.takeForAddress("auth-address", settings.addressLimit) }

    func take(for session: Session) async throws {
        try await limiter.take("auth-device \(session.userID) \(session.deviceID)", settings.deviceLimit)
    }

    /// A log-in, whether or not the name is anyone's: the bucket of name and address stops one guesser without stopping
    /// the owner elsewhere, the bucket of the name stops many.
    func guessing<Output>(at username: Username, _ body: () async throws -> Output) async throws -> Output {
        try await countingWrongPasswords(
            one: "auth-guess \(username.text) \(Peer.current.network)", many: "auth-account \(username.text)", body)
    }

    /// What a device that is logged in confirms with its user's password. Apart from log-ins, so that a crowd at the door
    /// does not keep an owner who is inside from changing the password.
    func confirming<Output>(by session: Session, _ body: () async throws -> Output) async throws -> Output {
        try await countingWrongPasswords(
            one: "auth-confirm \(session.userID) \(Peer.current.network)",
            many: "auth-confirm-device \(session.userID) \(session.deviceID)", body)
    }

    /// Only wrong passwords count.
    private func countingWrongPasswords<Output>(
        one: String, many: String, _ body: () async throws -> Output
    ) async throws -> Output {
        func giveBack() async {
            await limiter.giveBack(one, settings.guessLimit)
            await limiter.giveBack(many, settings.accountLimit)
        }
        try await limiter.take(one, settings.guessLimit)
        do {
            try await limiter.take(many, settings.accountLimit)
        } catch {
            await limiter.giveBack(one, settings.guessLimit)
            throw error
        }
        do {
            let output = try await body()
            await giveBack()
            return output
        } catch let error as AuthError where error == .wrongCredentials || error == .wrongPassword {
            throw error
        } catch {
            await giveBack()
            throw error
        }
    }
}
