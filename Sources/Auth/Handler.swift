// ringway.v1.AuthService: reads a request, applies rules and limits, hashes, asks the store, issues tokens. It logs
// nothing: whatever it handles is a secret or leads to one. Accounts and devices: Handler+Account.swift.
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct AuthHandler: Ringway_V1_AuthService.SimpleServiceProtocol {
    let store: AuthStore
    let hasher: PasswordHasher
    let accessTokens: AccessTokens
    let activity: ActiveDevices
    let peers: AuthPeers
    let limits: AuthLimits
    let settings: AuthSettings

    /// With a hasher of the settings' size and the keys of the database, where the first start makes one.
    public static func start(
        postgres: PostgresClient, settings: AuthSettings, peers: AuthPeers,
        limiter: any RateLimiter = LocalRateLimiter()
    ) async throws -> AuthHandler {
        AuthHandler(
            store: AuthStore(postgres: postgres),
            hasher: PasswordHasher(
                threads: settings.hasherThreads, queueLimit: settings.hasherQueue, cost: settings.hashCost),
            accessTokens: AccessTokens(keys: try await .load(from: postgres), settings: settings),
            activity: ActiveDevices(memory: settings.activityMemory), peers: peers,
            limits: AuthLimits(limiter: limiter, settings: settings), settings: settings)
    }

    /// In Prometheus' text format.
    public func metrics() -> String {
        """
        # HELP ringway_password_hashes_total Passwords hashed, as new ones and to compare.
        # TYPE ringway_password_hashes_total counter
        ringway_password_hashes_total \(hasher.count)

        """
    }

    public func register(
        request: Ringway_V1_RegisterRequest, context: ServerContext
    ) async throws -> Ringway_V1_TokenResponse {
        try await limits.takeForAddress()
        let username = try Username(request.username)
        guard !settings.reservedUsernames.contains(username) else { throw AuthError.usernameTaken }
        let email = request.email.isEmpty ? nil : try EmailAddress(request.email)
        let password = try Password(
            choosing: request.password, known: [username.text, email?.text].compactMap { $0 })
        let device = try NewDevice(request.device)
        let token = RefreshToken()
        let session = try await store.register(
            username, email: email, passwordHash: hasher.hash(password), on: device, with: token,
            lifetime: settings.refreshTokenLifetime)
        return try await tokens(for: session, token)
    }

    public func logIn(
        request: Ringway_V1_LogInRequest, context: ServerContext
    ) async throws -> Ringway_V1_TokenResponse {
        let device = try NewDevice(request.device)
        try await limits.takeForAddress()
        // What breaks the rules is nobody's name and nobody's password; that much is public.
        guard let username = try? Username(request.username), let password = try? Password(request.password) else {
            throw AuthError.wrongCredentials
        }
        let token = RefreshToken()
        let added = try await limits.guessing(at: username) {
            // A user who does not exist costs the same hash, so neither the answer nor its time tells.
            let account = try await store.account(named: username)
            guard try await hasher.matches(password, account?.passwordHash), let account else {
                throw AuthError.wrongCredentials
            }
            let rehashed = hasher.isOutdated(account.passwordHash) ? try await hasher.hash(password) : nil
            return try await store.addDevice(
                device, of: account, rehashed: rehashed, devicesMax: settings.devicesMax, with: token,
                lifetime: settings.refreshTokenLifetime)
        }
        guard let (session, ended) = added else { throw AuthError.wrongCredentials }
        for session in ended { activity.forget(session) }
        return try await tokens(for: session, token)
    }

    public func refresh(
        request: Ringway_V1_RefreshRequest, context: ServerContext
    ) async throws -> Ringway_V1_TokenResponse {
        try await limits.takeForAddress()
        let used = try RefreshToken(request.refreshToken)
        guard let owner = try await store.owner(of: used) else { throw AuthError.refreshRefused }
        try await limits.take(for: owner)
        switch try await store.rotate(used, lifetime: settings.refreshTokenLifetime, grace: settings.refreshGrace) {
        case .rotated(let session, let next):
            try await store.touch(session, address: Peer.current.address)
            return try await tokens(for: session, next)
        case .reused(let session):
            try await store.revoke(session)
            activity.forget(session)
            throw AuthError.refreshRefused
        case .refused:
            throw AuthError.refreshRefused
        }
    }

    public func verifyToken(
        request: Ringway_V1_VerifyTokenRequest, context: ServerContext
    ) async throws -> Ringway_V1_VerifyTokenResponse {
        let grant = try await grant(for: request.accessToken)
        return .with {
            $0.userID = grant.userID
            $0.deviceID = grant.deviceID
            $0.expiresAt = grant.expiresAt
            $0.keyID = grant.keyID
        }
    }

    /// What VerifyToken answers, for the doors of a process that holds this handler: they ask it for every request, and
    /// a call would cost them more than the answer does.
    public func caller(showing accessToken: String) async throws(RPCError) -> Caller {
        do {
            let grant = try await grant(for: accessToken)
            return Caller(userID: grant.userID, deviceID: grant.deviceID)
        } catch let error as any RPCErrorConvertible {
            throw RPCError(error)
        } catch {
            throw RPCError(code: .unknown, message: "", cause: error)
        }
    }

    private func grant(for accessToken: String) async throws -> AccessGrant {
        let grant = try accessTokens.verify(accessToken)
        let session = Session(userID: grant.userID, deviceID: grant.deviceID)
        guard try await activity.isActive(session, asking: store.isActive) else { throw AuthError.accessRefused }
        return grant
    }

    public func listKeys(
        request: Ringway_V1_ListKeysRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListKeysResponse {
        .with { $0.keys = accessTokens.publishedKeys }
    }

    public func listRevokedKeys(
        request: Ringway_V1_ListRevokedKeysRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListRevokedKeysResponse {
        let kids = try await store.revokedKeys()
        return .with { $0.keyIds = kids }
    }

    private static let devicesAskedMax = 1000

    public func findEndedDevices(
        request: Ringway_V1_FindEndedDevicesRequest, context: ServerContext
    ) async throws -> Ringway_V1_FindEndedDevicesResponse {
        guard request.devices.count <= Self.devicesAskedMax else {
            throw RPCError(.invalidArgument, "at most \(Self.devicesAskedMax) devices", field: "devices")
        }
        let ended = try await store.ended(
            of: request.devices.map { Session(userID: $0.userID, deviceID: $0.deviceID) })
        return .with {
            $0.ended = ended.map { session in
                .with { ($0.userID, $0.deviceID) = (session.userID, session.deviceID) }
            }
        }
    }

    private func tokens(
        for session: Session, _ refreshToken: RefreshToken
    ) async throws -> Ringway_V1_TokenResponse {
        let accessToken = try accessTokens.issue(user: session.userID, device: session.deviceID)
        return .with {
            $0.userID = session.userID
            $0.deviceID = session.deviceID
            $0.accessToken = accessToken
            $0.refreshToken = refreshToken.text
            $0.expiresIn = Int32(clamping: accessTokens.lifetime.components.seconds)
        }
    }
}
