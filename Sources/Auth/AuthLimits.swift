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

    /// Something that a right password allows. Only wrong ones count, whether or not the name is anyone's: the bucket
    /// of name and address stops one guesser without stopping the owner elsewhere, the bucket of the name stops many.
    func guessing<Output>(at username: Username, _ body: () async throws -> Output) async throws -> Output {
        let pair = "auth-guess \(username.text) \(Peer.current.network)"
        let name = "auth-account \(username.text)"
        try await limiter.take(pair, settings.guessLimit)
        do {
            try await limiter.take(name, settings.accountLimit)
        } catch {
            await limiter.giveBack(pair, settings.guessLimit)
            throw error
        }
        do {
            let output = try await body()
            await giveBack(pair, name)
            return output
        } catch let error as AuthError where error == .wrongCredentials || error == .wrongPassword {
            throw error
        } catch {
            await giveBack(pair, name)
            throw error
        }
    }

    private func giveBack(_ pair: String, _ name: String) async {
        await limiter.giveBack(pair, settings.guessLimit)
        await limiter.giveBack(name, settings.accountLimit)
    }
}
