// What a device keeps between runs, and how it asks for new tokens before the old ones end.
import Contract
import Foundation

/// A device's log-in. The refresh token is good for one use: store new credentials as soon as they are given, and
/// let one client use them at a time.
public struct Credentials: Codable, Sendable, Equatable {
    public let userID: Int64
    public let deviceID: Int64
    public let accessToken: String
    public let refreshToken: String
    public let expiresAt: Date

    public init(userID: Int64, deviceID: Int64, accessToken: String, refreshToken: String, expiresAt: Date) {
        self.userID = userID
        self.deviceID = deviceID
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        self.expiresAt = expiresAt
    }

    init(_ tokens: Ringway_V1_TokenResponse, now: Date = Date()) {
        self.init(
            userID: tokens.userID, deviceID: tokens.deviceID, accessToken: tokens.accessToken,
            refreshToken: tokens.refreshToken, expiresAt: now.addingTimeInterval(TimeInterval(tokens.expiresIn)))
    }
}

/// Holds the credentials of a running client. Refreshes are single: whoever needs a token while one is under way
/// waits for it, because a refresh token that is used twice ends the device.
actor TokenKeeper {
    /// A token is replaced this long before it ends, so that it does not end on its way.
    private static let margin: TimeInterval = 30

    private let http: HTTPCaller
    private let onChange: @Sendable (Credentials) async -> Void
    private(set) var credentials: Credentials
    private var refresh: Task<Credentials, any Error>?

    init(
        _ credentials: Credentials, http: HTTPCaller, onChange: @escaping @Sendable (Credentials) async -> Void
    ) {
        self.credentials = credentials
        self.http = http
        self.onChange = onChange
    }

    /// An access token that is not about to end and is not the rejected one.
    func token(replacing rejected: String? = nil) async throws -> String {
        if refresh == nil, credentials.accessToken != rejected,
            credentials.expiresAt.timeIntervalSinceNow > Self.margin {
            return credentials.accessToken
        }
        return try await refreshed().accessToken
    }

    private func refreshed() async throws -> Credentials {
        if let refresh { return try await refresh.value }
        let task = Task { [http, onChange, refreshToken = credentials.refreshToken] in
            let request = Ringway_V1_RefreshRequest.with { $0.refreshToken = refreshToken }
            let tokens: Ringway_V1_TokenResponse = try await http.call(.POST, "/v1/auth/refresh", body: request)
            let fresh = Credentials(tokens)
            await onChange(fresh)
            return fresh
        }
        refresh = task
        defer { refresh = nil }
        credentials = try await task.value
        return credentials
    }
}
