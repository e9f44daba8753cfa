// argon2id on a pool of threads of its own. It compares no secrets itself: argon2's verify does, in constant time.
import CArgon2
import Crypto
import ServiceKit
import Synchronization

public final class PasswordHasher: Sendable {
    private let pool: WorkerPool
    private let argon2: Argon2
    private let begun = Atomic<UInt64>(0)

    /// Hashes begun since the start, for new passwords and to compare with old ones.
    var count: UInt64 { begun.load(ordering: .relaxed) }

    public init(threads: Int, queueLimit: Int, cost: HashCost = HashCost()) {
        pool = WorkerPool(threads: threads, queueLimit: queueLimit, duration: .milliseconds(50))
        argon2 = Argon2(cost: cost)
    }

    /// A new salt and the hash, in argon2's encoded form.
    func hash(_ password: Password) async throws -> String {
        try await run { [argon2] in try argon2.hash(password.bytes) }
    }

    /// Whether the password is the one of an encoded hash. Without one it takes just as long to say no.
    func matches(_ password: Password, _ encoded: String?) async throws -> Bool {
        try await run { [argon2] in try argon2.matches(password.bytes, encoded ?? argon2.nobody) }
    }

    /// Whether a hash was made at another cost than new ones are.
    func isOutdated(_ encoded: String) -> Bool {
        !encoded.hasPrefix(argon2.prefix)
    }

    /// Throws `.busy` at once when too many wait.
    private func run<Output: Sendable>(_ work: @escaping @Sendable () throws -> Output) async throws -> Output {
        do {
            return try await pool.run { [self] in
                begun.add(1, ordering: .relaxed)
                return try work()
            }
        } catch let full as WorkerPool.Full {
            throw AuthError.busy(retryAfter: full.retryAfter)
        }
    }
}

/// libargon2 at a given cost.
private struct Argon2 {
    private static let hashBytes = 32

    let cost: HashCost

    /// How the encoded form begins.
    var prefix: String { "$argon2id$v=19$m=\(cost.kibibytes),t=\(cost.passes),p=\(cost.lanes)$" }

    /// Stands in for the hash of a user who does not exist: same cost, matched by no password that anyone could find.
    var nobody: String { prefix + "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }

    func hash(_ password: [UInt8]) throws(AuthError) -> String {
        let salt = SymmetricKey(size: .bits128)
        let length = argon2_encodedlen(
            cost.passes, cost.kibibytes, cost.lanes, UInt32(salt.bitCount / 8), UInt32(Self.hashBytes), Argon2_id)
        var encoded = [CChar](repeating: 0, count: length)
        let status = salt.withUnsafeBytes { salt in
            argon2id_hash_encoded(
                cost.passes, cost.kibibytes, cost.lanes, password, password.count, salt.baseAddress, salt.count,
                Self.hashBytes, &encoded, encoded.count)
        }
        guard status == ARGON2_OK.rawValue else { throw .hashingFailed }
        return encoded.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    func matches(_ password: [UInt8], _ encoded: String) throws(AuthError) -> Bool {
        switch argon2id_verify(encoded, password, password.count) {
        case ARGON2_OK.rawValue: true
        case ARGON2_VERIFY_MISMATCH.rawValue: false
        default: throw .hashingFailed
        }
    }
}
