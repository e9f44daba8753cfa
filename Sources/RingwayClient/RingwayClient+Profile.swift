// Profiles, avatars and settings, over HTTP. How a call is made: RingwayClient+Calls.swift.
import Contract
import Foundation

extension RingwayClient {
    public typealias ProfileChange = Ringway_V1_UpdateMyProfileRequest
    public typealias Settings = Ringway_V1_Settings
    public typealias SettingsChange = Ringway_V1_UpdateSettingsRequest

    // MARK: Profiles

    public nonisolated func myProfile() async throws -> Profile {
        try await call(.GET, "/v1/profiles/me")
    }

    public nonisolated func profile(of userID: Int64) async throws -> Profile {
        try await call(.GET, "/v1/profiles/\(userID)")
    }

    /// Of 1 to 100 users, in the order of their ids, without those who do not exist for the caller.
    public nonisolated func profiles(of userIDs: [Int64]) async throws -> [Profile] {
        let ids = userIDs.map(String.init).joined(separator: ",")
        let answer: Ringway_V1_GetProfilesResponse = try await call(.GET, "/v1/profiles?ids=\(ids)")
        return answer.profiles
    }

    /// Users whose username begins with the query, then those whose nickname contains it. cursor: the nextCursor of the
    /// page before.
    public nonisolated func searchProfiles(
        _ query: String, limit: Int = 20, cursor: String = ""
    ) async throws -> Ringway_V1_SearchProfilesResponse {
        try await call(
            .GET, "/v1/profiles:search?query=\(query.asQueryValue)&limit=\(limit)&cursor=\(cursor.asQueryValue)")
    }

    /// Changes what is given. ABORTED: expectedVersion is given and not the current one.
    @discardableResult
    public nonisolated func updateProfile(
        nickname: String? = nil, signature: String? = nil, expectedVersion: Int64? = nil
    ) async throws -> Profile {
        var change = ProfileChange()
        if let nickname { change.nickname = nickname }
        if let signature { change.signature = signature }
        if let expectedVersion { change.expectedVersion = expectedVersion }
        return try await updateProfile(change)
    }

    /// Also region, birthday, custom and status.
    @discardableResult
    public nonisolated func updateProfile(_ change: ProfileChange) async throws -> Profile {
        try await call(.PATCH, "/v1/profiles/me", body: change)
    }

    // MARK: Avatars

    /// A PNG, JPEG or WebP of at most 2 MiB; contentType says which, e.g. "image/png".
    @discardableResult
    public nonisolated func setAvatar(_ picture: Data, contentType: String) async throws -> Profile {
        let body = HTTPCaller.Body(bytes: picture, contentType: contentType)
        return try await call(.PUT, "/v1/profiles/me/avatar", content: body)
    }

    @discardableResult
    public nonisolated func removeAvatar() async throws -> Profile {
        try await call(.DELETE, "/v1/profiles/me/avatar")
    }

    /// The picture that a profile's avatar names, a WebP of 512 or 128 pixels a side.
    public nonisolated func avatar(_ hash: String, size: Int = 512) async throws -> Data {
        Data(try await http.bytes(.GET, "/v1/avatars/\(hash.asQueryValue)?size=\(size)"))
    }

    // MARK: Settings

    /// since: the version that the device has; what has not changed since is absent.
    public nonisolated func settings(since version: Int64 = 0) async throws -> Settings {
        try await call(.GET, "/v1/settings?since=\(version)")
    }

    /// What is absent stays as it is. ABORTED: expectedVersion is given and not the current one.
    @discardableResult
    public nonisolated func updateSettings(_ change: SettingsChange) async throws -> Settings {
        try await call(.PATCH, "/v1/settings", body: change)
    }
}

extension String {
    /// Percent-encoded, all but what RFC 3986 calls unreserved.
    fileprivate var asQueryValue: String {
        let unreserved = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
        return addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
    }
}
