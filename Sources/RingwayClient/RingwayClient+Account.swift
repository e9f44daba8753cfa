// Accounts and devices, over HTTP. How a call is made: RingwayClient+Calls.swift.
import Contract

extension RingwayClient {
    public typealias DeviceInfo = Ringway_V1_DeviceInfo
    public typealias Account = Ringway_V1_Account

    // MARK: Without an account yet

    /// Makes an account and logs this device in. ALREADY_EXISTS: the username or the e-mail address is taken.
    public static func register(
        username: String, password: String, email: String = "", device: Device, at httpURL: String,
        trusting authorities: TrustedAuthorities? = nil
    ) async throws -> Credentials {
        let request = Ringway_V1_RegisterRequest.with {
            $0.username = username
            $0.password = password
            $0.email = email
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

    // MARK: Devices

    /// Ends this device: its tokens are refused from now on.
    public nonisolated func logOut() async throws {
        let _: Ringway_V1_LogOutResponse = try await call(.POST, "/v1/auth/logout")
    }

    /// Ends every device but this one; how many.
    @discardableResult
    public nonisolated func logOutOthers() async throws -> Int {
        let answer: Ringway_V1_LogOutOthersResponse = try await call(.POST, "/v1/auth/logout-others")
        return Int(answer.ended)
    }

    /// Those that are logged in, the newest first.
    public nonisolated func devices() async throws -> [DeviceInfo] {
        let answer: Ringway_V1_ListDevicesResponse = try await call(.GET, "/v1/devices")
        return answer.devices
    }

    @discardableResult
    public nonisolated func renameDevice(_ id: Int64, to name: String) async throws -> DeviceInfo {
        try await call(.PATCH, "/v1/devices/\(id)", body: Ringway_V1_RenameDeviceRequest.with { $0.name = name })
    }

    /// Ends one of the user's devices, also this one.
    public nonisolated func revokeDevice(_ id: Int64) async throws {
        let _: Ringway_V1_RevokeDeviceResponse = try await call(.DELETE, "/v1/devices/\(id)")
    }

    // MARK: The account

    public nonisolated func account() async throws -> Account {
        try await call(.GET, "/v1/account")
    }

    /// Ends every device but this one. PERMISSION_DENIED: not the password.
    public nonisolated func changePassword(from password: String, to newPassword: String) async throws {
        let request = Ringway_V1_ChangePasswordRequest.with {
            $0.password = password
            $0.newPassword = newPassword
        }
        let _: Ringway_V1_ChangePasswordResponse = try await call(.POST, "/v1/auth/password", body: request)
    }

    /// Empty removes the address. PERMISSION_DENIED: not the password.
    @discardableResult
    public nonisolated func changeEmail(to email: String, password: String) async throws -> Account {
        let request = Ringway_V1_ChangeEmailRequest.with {
            $0.password = password
            $0.email = email
        }
        return try await call(.POST, "/v1/account/email", body: request)
    }

    /// Ends all devices now, and the account at the time that is answered; a log-in until then keeps it.
    @discardableResult
    public nonisolated func deleteAccount(password: String) async throws -> Ringway_V1_DeleteAccountResponse {
        let request = Ringway_V1_DeleteAccountRequest.with { $0.password = password }
        return try await call(.POST, "/v1/account:delete", body: request)
    }

    /// A page of all that is kept about the user: ask again with since = nextSince until that is 0.
    public nonisolated func exportData(since seq: Int64 = 0) async throws -> Ringway_V1_ExportDataResponse {
        try await call(.GET, "/v1/account/export?since=\(seq)")
    }
}
