// ringway.v1.AuthService: reads a request, applies the rules, hashes, asks the store, issues tokens. It logs nothing:
// whatever it handles is a secret or leads to one.
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct AuthHandler: Ringway_V1_AuthService.SimpleServiceProtocol {
    private let store: AuthStore
    private let hasher: PasswordHasher
    private let accessTokens: AccessTokens
    private let refreshLifetime: Duration

    public init(postgres: PostgresClient, settings: AuthSettings, hasher: PasswordHasher, keys: SigningKeys) {
        store = AuthStore(postgres: postgres)
        self.hasher = hasher
        accessTokens = AccessTokens(keys: keys, settings: settings)
        refreshLifetime = settings.refreshTokenLifetime
    }

    /// With a hasher of the settings' size and the keys of the database, where the first start makes one.
    public static func start(postgres: PostgresClient, settings: AuthSettings) async throws -> AuthHandler {
        AuthHandler(
            postgres: postgres, settings: settings,
            hasher: PasswordHasher(threads: settings.hasherThreads, queueLimit: settings.hasherQueue),
            keys: try await .load(from: postgres))
    }

    public func register(
        request: Ringway_V1_RegisterRequest, context: ServerContext
    ) async throws -> Ringway_V1_TokenResponse {
        let username = try Username(request.username)
        let password = try Password(request.password)
        let device = try NewDevice(request.device)
        let token = RefreshToken()
        let session = try await store.register(
            username, passwordHash: hasher.hash(password), on: device, with: token, lifetime: refreshLifetime)
        return try await tokens(for: session, token)
    }

    public func logIn(
        request: Ringway_V1_LogInRequest, context: ServerContext
    ) async throws -> Ringway_V1_TokenResponse {
        let device = try NewDevice(request.device)
        // What breaks the rules is nobody's name and nobody's password; that much is public.
        guard let username = try? Username(request.username), let password = try? Password(request.password) else {
            throw AuthError.wrongCredentials
        }
        // A user who does not exist costs the same hash, so neither the answer nor its time tells.
        let account = try await store.credentials(of: username)
        guard try await hasher.matches(password, account?.passwordHash), let account else {
            throw AuthError.wrongCredentials
        }
        let token = RefreshToken()
        let session = try await store.addDevice(
            device, of: account.userID, with: token, lifetime: refreshLifetime)
        return try await tokens(for: session, token)
    }

    public func refresh(
        request: Ringway_V1_RefreshRequest, context: ServerContext
    ) async throws -> Ringway_V1_TokenResponse {
        let used = try RefreshToken(request.refreshToken)
        let next = RefreshToken()
        guard let session = try await store.rotate(used, to: next, lifetime: refreshLifetime) else {
            try await store.revokeFamily(of: used)
            throw AuthError.refreshRefused
        }
        return try await tokens(for: session, next)
    }

    public func logOut(
        request: Ringway_V1_LogOutRequest, context: ServerContext
    ) async throws -> Ringway_V1_LogOutResponse {
        let caller = try Caller.required()
        try await store.revoke(Session(userID: caller.userID, deviceID: caller.deviceID))
        return Ringway_V1_LogOutResponse()
    }

    public func verifyToken(
        request: Ringway_V1_VerifyTokenRequest, context: ServerContext
    ) async throws -> Ringway_V1_VerifyTokenResponse {
        let grant = try await accessTokens.verify(request.accessToken)
        guard try await store.isActive(Session(userID: grant.userID, deviceID: grant.deviceID)) else {
            throw AuthError.accessRefused
        }
        return .with {
            $0.userID = grant.userID
            $0.deviceID = grant.deviceID
            $0.expiresAt = grant.expiresAt
        }
    }

    private func tokens(
        for session: Session, _ refreshToken: RefreshToken
    ) async throws -> Ringway_V1_TokenResponse {
        let accessToken = try await accessTokens.issue(user: session.userID, device: session.deviceID)
        return .with {
            $0.userID = session.userID
            $0.deviceID = session.deviceID
            $0.accessToken = accessToken
            $0.refreshToken = refreshToken.text
            $0.expiresIn = Int32(clamping: accessTokens.lifetime.components.seconds)
        }
    }
}
