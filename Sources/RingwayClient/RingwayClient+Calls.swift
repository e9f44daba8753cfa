// The calls over HTTP: accounts, profiles, friends, and the log as pages. Each throws RingwayError. A token that is
// refused is replaced once, and the call repeated.
import Contract
import Foundation
import NIOHTTP1
import SwiftProtobuf

extension RingwayClient {
    // MARK: Accounts

    /// Makes an account and logs this device in. ALREADY_EXISTS: the username is taken.
    public static func register(
        username: String, password: String, device: Device, at httpURL: String,
        trusting authorities: TrustedAuthorities? = nil
    ) async throws -> Credentials {
        let request = Ringway_V1_RegisterRequest.with {
            $0.username = username
            $0.password = password
            $0.device = device
        }
        let caller = HTTPCaller(baseURL: httpURL, trusting: authorities)
        let tokens: Ringway_V1_TokenResponse = try await caller.call(.POST, "/v1/auth/register", body: request)
        return Credentials(tokens)
    }

    /// Logs in as a new device. UNAUTHENTICATED: no such user, or not the password.
    public static func logIn(
        username: String, password: String, device: Device, at httpURL: String,
        trusting authorities: TrustedAuthorities? = nil
    ) async throws -> Credentials {
        let request = Ringway_V1_LogInRequest.with {
            $0.username = username
            $0.password = password
            $0.device = device
        }
        let caller = HTTPCaller(baseURL: httpURL, trusting: authorities)
        let tokens: Ringway_V1_TokenResponse = try await caller.call(.POST, "/v1/auth/login", body: request)
        return Credentials(tokens)
    }

    /// Ends this device: its tokens are refused from now on.
    public nonisolated func logOut() async throws {
        let _: Ringway_V1_LogOutResponse = try await call(.POST, "/v1/auth/logout")
    }

    // MARK: Profiles

    public nonisolated func myProfile() async throws -> Profile {
        try await call(.GET, "/v1/profiles/me")
    }

    public nonisolated func profile(of userID: Int64) async throws -> Profile {
        try await call(.GET, "/v1/profiles/\(userID)")
    }

    /// Changes what is given. ABORTED: expectedVersion is given and not the current one.
    public nonisolated func updateProfile(
        nickname: String? = nil, signature: String? = nil, expectedVersion: Int64? = nil
    ) async throws -> Profile {
        var request = Ringway_V1_UpdateMyProfileRequest()
        if let nickname { request.nickname = nickname }
        if let signature { request.signature = signature }
        if let expectedVersion { request.expectedVersion = expectedVersion }
        return try await call(.PATCH, "/v1/profiles/me", body: request)
    }

    // MARK: Friends

    /// Asks for friendship; accepted at once if that user has asked already.
    @discardableResult
    public nonisolated func requestFriend(_ userID: Int64, greeting: String = "") async throws -> FriendRequest {
        let request = Ringway_V1_RequestFriendRequest.with {
            $0.to = userID
            $0.message = greeting
        }
        return try await call(.POST, "/v1/friend-requests", body: request)
    }

    /// Every pending request, both ways, newest first.
    public nonisolated func friendRequests() async throws -> [FriendRequest] {
        var all: [FriendRequest] = []
        var before: Int64 = 0
        repeat {
            let page: Ringway_V1_ListFriendRequestsResponse =
                try await call(.GET, "/v1/friend-requests?limit=200&before=\(before)")
            all += page.requests
            before = page.nextBefore
        } while before != 0
        return all
    }

    @discardableResult
    public nonisolated func acceptFriendRequest(_ id: Int64) async throws -> FriendRequest {
        try await call(.POST, "/v1/friend-requests/\(id):accept")
    }

    @discardableResult
    public nonisolated func rejectFriendRequest(_ id: Int64) async throws -> FriendRequest {
        try await call(.POST, "/v1/friend-requests/\(id):reject")
    }

    /// Every friend, in the order of their ids.
    public nonisolated func friends() async throws -> [Friend] {
        var all: [Friend] = []
        var after: Int64 = 0
        repeat {
            let page: Ringway_V1_ListFriendsResponse = try await call(.GET, "/v1/friends?limit=1000&after=\(after)")
            all += page.friends
            after = page.nextAfter
        } while after != 0
        return all
    }

    public nonisolated func removeFriend(_ userID: Int64) async throws {
        let _: Ringway_V1_RemoveFriendResponse = try await call(.DELETE, "/v1/friends/\(userID)")
    }

    // MARK: The log and the gateway

    /// A page of the log after since, oldest first; limit is 1 to 1000.
    public nonisolated func readInbox(since: Int64, limit: Int) async throws -> Ringway_V1_ReadInboxResponse {
        try await call(.GET, "/v1/inbox?since=\(since)&limit=\(limit)")
    }

    nonisolated func locateGateway() async throws -> String {
        let location: Ringway_V1_LocateGatewayResponse = try await call(.GET, "/v1/gateway")
        return location.url
    }

    private nonisolated func call<Answer: Message>(
        _ method: HTTPMethod, _ path: String, body: (any Message)? = nil
    ) async throws -> Answer {
        let token = try await tokens.token()
        do {
            return try await http.call(method, path, body: body, token: token)
        } catch let error as RingwayError where error.code == RingwayError.unauthenticated {
            return try await http.call(method, path, body: body, token: try await tokens.token(replacing: token))
        }
    }
}
