COPY gaps FROM PROGRAM 'cat /etc/passwd';
