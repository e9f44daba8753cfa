// The calls of someone who is logged in: devices, password, e-mail address, the account's end and its export.
import Contract
import GRPCCore
import ServiceKit

extension AuthHandler {
    // MARK: Devices

    public func logOut(
        request: Ringway_V1_LogOutRequest, context: ServerContext
    ) async throws -> Ringway_V1_LogOutResponse {
        let session = try Self.session()
        try await store.revoke(session)
        activity.forget(session)
        return Ringway_V1_LogOutResponse()
    }

    public func logOutOthers(
        request: Ringway_V1_LogOutOthersRequest, context: ServerContext
    ) async throws -> Ringway_V1_LogOutOthersResponse {
        let session = try await limitedSession()
        let ended = try await store.revokeOthers(than: session)
        forget(ended, of: session.userID)
        return .with { $0.ended = Int32(ended.count) }
    }

    public func listDevices(
        request: Ringway_V1_ListDevicesRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListDevicesResponse {
        let devices = try await store.devices(of: Self.session())
        return .with { $0.devices = devices }
    }

    public func renameDevice(
        request: Ringway_V1_RenameDeviceRequest, context: ServerContext
    ) async throws -> Ringway_V1_DeviceInfo {
        let session = try await limitedSession()
        if let violation = NewDevice.nameRule.violation(by: request.name) {
            throw AuthError.invalid("name", violation)
        }
        guard let device = try await store.rename(request.deviceID, of: session, to: request.name) else {
            throw AuthError.noSuchDevice
        }
        return device
    }

    public func revokeDevice(
        request: Ringway_V1_RevokeDeviceRequest, context: ServerContext
    ) async throws -> Ringway_V1_RevokeDeviceResponse {
        let session = try await limitedSession()
        let target = Session(userID: session.userID, deviceID: request.deviceID)
        guard try await store.revoke(target) else { throw AuthError.noSuchDevice }
        activity.forget(target)
        return .init()
    }

    // MARK: The account

    public func getAccount(
        request: Ringway_V1_GetAccountRequest, context: ServerContext
    ) async throws -> Ringway_V1_Account {
        try await account(of: Self.session())
    }

    public func changePassword(
        request: Ringway_V1_ChangePasswordRequest, context: ServerContext
    ) async throws -> Ringway_V1_ChangePasswordResponse {
        let session = try await limitedSession()
        let account = try await confirm(request.password, by: session)
        let password = try Password(
            choosing: request.newPassword, field: "new_password",
            known: [account.username, account.email].compactMap { $0 })
        let hash = try await hasher.hash(password)
        guard try await store.changePassword(of: account, to: hash, keeping: session.deviceID) else {
            throw AuthError.wrongPassword
        }
        activity.forget(user: session.userID)
        return .init()
    }

    public func changeEmail(
        request: Ringway_V1_ChangeEmailRequest, context: ServerContext
    ) async throws -> Ringway_V1_Account {
        let session = try await limitedSession()
        let email = request.email.isEmpty ? nil : try EmailAddress(request.email)
        let account = try await confirm(request.password, by: session)
        guard try await store.changeEmail(of: account, to: email) else { throw AuthError.wrongPassword }
        return try await self.account(of: session)
    }

    public func deleteAccount(
        request: Ringway_V1_DeleteAccountRequest, context: ServerContext
    ) async throws -> Ringway_V1_DeleteAccountResponse {
        let session = try await limitedSession()
        let account = try await confirm(request.password, by: session)
        guard let end = try await store.scheduleDeletion(of: account, after: settings.deletionGrace) else {
            throw AuthError.wrongPassword
        }
        activity.forget(user: session.userID)
        return .with { $0.deleteAfter = .init(microsecondsOf: end) }
    }

    public func exportData(
        request: Ringway_V1_ExportDataRequest, context: ServerContext
    ) async throws -> Ringway_V1_ExportDataResponse {
        let session = try await limitedSession()
        let caller = try Caller.required()
        guard request.since >= 0 else { throw AuthError.invalid("since", "must not be negative") }
        var page = Ringway_V1_ExportDataResponse()
        if request.since == 0 {
            page.account = try await account(of: session)
            page.devices = try await store.devices(of: session)
            page.profile = try await peers.profile(caller)
            page.friends = try await peers.friends(caller)
            page.friendGroups = try await peers.groups(caller)
            page.friendRequests = try await peers.requests(caller)
            page.blocks = try await peers.blocks(caller)
            page.settings = try await peers.userSettings(caller)
            page.cursors = try await peers.cursors(caller)
        }
        let (events, head) = try await peers.events(caller, request.since)
        page.events = events
        if let last = events.last?.seq, last < head { page.nextSince = last }
        return page
    }

    // MARK: Who calls

    private static func session() throws -> Session {
        let caller = try Caller.required()
        return Session(userID: caller.userID, deviceID: caller.deviceID)
    }

    private func limitedSession() async throws -> Session {
        let session = try Self.session()
        try await limits.take(for: session)
        return session
    }

    private func account(of session: Session) async throws -> Ringway_V1_Account {
        guard let account = try await store.ownAccount(session.userID) else { throw AuthError.accessRefused }
        return account
    }

    /// The caller's account, if this is its password.
    private func confirm(_ text: String, by session: Session) async throws -> StoredAccount {
        guard let account = try await store.account(session.userID) else { throw AuthError.accessRefused }
        guard let password = try? Password(text) else { throw AuthError.wrongPassword }
        return try await limits.confirming(by: session) {
            guard try await hasher.matches(password, account.passwordHash) else { throw AuthError.wrongPassword }
            return account
        }
    }

    private func forget(_ devices: [Int64], of user: Int64) {
        for device in devices { activity.forget(Session(userID: user, deviceID: device)) }
    }
}
