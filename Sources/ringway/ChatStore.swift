// What a chat keeps between runs: the device's credentials and the last entry of the log that was shown. One file an
// account and server, replaced as a whole, so that a chat that is killed goes on where it was.
import Foundation
import RingwayClient

actor ChatStore {
    struct State: Codable {
        /// nil: the device was logged out.
        var credentials: Credentials?
        var lastSeq: Int64 = 0
    }

    private(set) var state: State
    private let file: URL
    /// Held open, and locked, for as long as the process lives.
    private let lock: Int32

    /// Throws Complaint if the files can't be used, or if another chat uses them: two that renew the same
    /// credentials would end the device.
    init(server: String, name: String) throws {
        let environment = ProcessInfo.processInfo.environment
        let home =
            environment["RINGWAY_HOME"].map { URL(fileURLWithPath: $0) }
            ?? FileManager.default.homeDirectoryForCurrentUser.appendingPathComponent(".config/ringway")
        let host = server.components(separatedBy: "://").last ?? server
        let folder = home.appendingPathComponent("chat").appendingPathComponent(host.asFileName)
        file = folder.appendingPathComponent(name.asFileName + ".json")
        do {
            try FileManager.default.createDirectory(
                at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            state = FileManager.default.fileExists(atPath: file.path)
                ? try JSONDecoder().decode(State.self, from: Data(contentsOf: file)) : State()
        } catch {
            throw Complaint(line: "cannot use \(file.path): \(error.localizedDescription)")
        }
        lock = open(file.path + ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            throw Complaint(line: "another chat as \(name) is running here; give one of them its own RINGWAY_HOME")
        }
    }

    func keep(credentials: Credentials?) {
        state.credentials = credentials
        write()
    }

    func keep(lastSeq: Int64) {
        state.lastSeq = lastSeq
        write()
    }

    /// A failure is told and not fatal: the chat goes on, and a later run shows more than it must.
    private func write() {
        let fresh = file.path + ".new"
        let descriptor = open(fresh, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0o600)
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do {
            guard descriptor >= 0 else { throw CocoaError(.fileWriteNoPermission) }
            try handle.write(contentsOf: JSONEncoder().encode(state))
            guard rename(fresh, file.path) == 0 else { throw CocoaError(.fileWriteUnknown) }
        } catch {
            ChatInput.print("-- cannot store the session in \(file.path)")
        }
    }
}

extension String {
    /// The same for the same text, and never a path.
    fileprivate var asFileName: String {
        let allowed = CharacterSet(charactersIn: "-_.:").union(.alphanumerics)
        let name = String(unicodeScalars.map { allowed.contains($0) ? Character($0) : "_" })
        return name.hasPrefix(".") ? "_" + name.dropFirst() : name
    }
}
